/* SPDX-License-Identifier: MIT */
#ifndef MIGRATE_UML_PARTS_H
#define MIGRATE_UML_PARTS_H

#include "track.h"
#include "uml.h"

#include <sys/types.h>

/* The processes of a kernel, in one group, watched over by a keeper. */
struct uml_process {
	pid_t keeper; /* 0: none */
	int leash;    /* readable: the kernel is gone */
	int console;  /* what the kernel says */
	int command;  /* the guest's /dev/tty1 */
};

/* What the guest said, and the command that is waiting for its answer. */
struct uml_talk {
	char tail[2048]; /* of the console */
	size_t tail_len;
	char line[4096]; /* of the command channel, still without its end */
	size_t line_len;
	uint64_t heard_ms; /* when it last said anything */
	unsigned id;	   /* of the command */
	bool answered;
	int status;
	char answer[4096];
};

struct guest {
	struct guest_config config;
	char dir[80];  /* everything we make is in it */
	char umid[16]; /* a new one a boot */
	unsigned boots;
	struct fph_loop *loop;
	struct fph_vhost_user *back;
	struct uml_process process;
	struct uml_talk talk;
	struct uml_times times;
	uint64_t kicks;
	bool dead;

	/* Dirty log; see uml_track.c. */
	struct track track;
	struct fph_mem mem; /* as it was at begin */
	struct fph_region regions[8];
	struct fph_bitmap found;
	uint8_t *sent; /* a state a page */
};

/* uml_initramfs.c: init, busybox and the module as a newc archive. */
int uml_initramfs_write(const char *path, const char *busybox, const char *module);

/*
 * uml_process.c: start argv with its console and command channel.  They die with
 * us, and dir goes too if we die without a word.
 */
int uml_process_start(struct uml_process *process, const char *dir, char *const argv[]);
/* Kill and reap all of it.  Harmless when there is nothing. */
void uml_process_kill(struct uml_process *process);
/* Remove a directory and all in it. */
void uml_remove(const char *dir);

/* uml_talk.c: listen to process.console, .command and .leash from the loop. */
int uml_talk_start(struct guest *guest);
void uml_talk_stop(struct guest *guest);
/* Serve everything until *done; as uml_command() about errors. */
int uml_wait(struct guest *guest, const bool *done, int quiet_ms);
uint64_t uml_now_ms(void);

/* uml_mconsole.c: stop and continue the kernel.  Return 0 or a negative errno. */
int uml_pause(struct guest *guest);
int uml_resume(struct guest *guest);

/* uml_boot.c: from nothing to a driver that negotiated hinting; says what failed. */
int uml_boot(struct guest *guest);

/* uml_track.c: begin, sync and page of struct guest_ops. */
int64_t uml_track_begin(struct guest *guest, struct fph_bitmap *dirty);
int64_t uml_track_sync(struct guest *guest, struct fph_bitmap *dirty);
const void *uml_track_page(struct guest *guest, uint64_t gpa);
void uml_track_end(struct guest *guest);

#endif
