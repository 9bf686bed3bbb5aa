/* SPDX-License-Identifier: MIT */
#ifndef FPH_TESTS_VFIO_USER_HARNESS_H
#define FPH_TESTS_VFIO_USER_HARNESS_H

#include "qemu11_process.h"
#include "qemu11_talk.h"

#include <fph/bitmap.h>
#include <fph/vfio_user.h>

#define PAGE 4096u
#define MIB  (UINT64_C(1) << 20)
/* Nothing is waited for longer: emulation on a busy machine takes its time. */
#define WAIT_US UINT64_C(90000000)

/* A server in this process, and a guest beside it. */
struct vm {
	struct fph_loop *loop;
	struct fph_vfio_user_server *server;
	struct fph_device *dev;
	char dir[32];
	char path[48]; /* of the socket */

	struct qemu11 qemu;
	struct lines talk;
	struct lines qmp;
	uint32_t asked;	  /* numbers of the commands sent, in both languages */
	uint32_t answer;  /* of the last one that was answered */
	int status;	  /* its exit status; QMP: 0, or -1 for an error */
	char text[4096];  /* what it said */
	unsigned boots;	  /* times that user space came up */
	unsigned deleted; /* devices unplugged */

	/* What the server told. */
	bool hints;
	unsigned stats; /* answers that tell how much is free */
	unsigned changed;
	unsigned gone;
	unsigned troubles;
	char why[128];
	char trouble[256];

	struct fph_bitmap hinted; /* since vm_forget() */
	uint64_t twice;		  /* pages hinted that were hinted before */
	uint64_t foreign;	  /* hints that lie in no memory; there must be none */
	bool look;		  /* read what is hinted */
	uint64_t looked;	  /* pages of hints that were read */
	uint64_t dirty;		  /* of these, pages that were not all zero */
	bool has_driver;
	uint64_t driver_us; /* when DRIVER_OK was seen */
};

struct vm_opts {
	struct qemu11_opts qemu; /* its socket is filled in */
	bool bare;		 /* no vfio-user device at the start */
	uint32_t server;	 /* FPH_VFIO_USER_* */
	uint64_t offer;
	uint64_t withhold;
};

/* How a round went; wire is what it took. */
struct round {
	uint64_t hints;
	uint64_t bytes;
	uint64_t first_us;  /* from the new id to the first hint */
	uint64_t last_us;   /* to the last */
	uint64_t over_us;   /* to STOP */
	uint64_t driver_us; /* from DRIVER_OK to the last hint; vm_first_round() only */
	bool over;
	struct fph_vfio_user_stats wire;
};

/* The server alone, which vm_serve() opens the first time. */
void vm_listen(struct vm *vm, const struct vm_opts *opts);
void vm_hang_up(struct vm *vm);
/* A server; then a guest whose driver is to come. */
void vm_serve(struct vm *vm, const struct vm_opts *opts);
void vm_boot(struct vm *vm, const struct vm_opts *opts);
/* Both, up to a driver that is there and a guest that takes commands. */
void vm_open(struct vm *vm, const struct vm_opts *opts);
/* End it all, and see to it that nothing is left. */
void vm_close(struct vm *vm);
/* After each test: what one that failed left behind. */
void vm_clean_up(void);
/* Only the guest, however it ends: killed, if it has to be. */
void vm_kill(struct vm *vm);

/* Serve, for at most so long, or until something happened. */
void vm_pump(struct vm *vm, int milliseconds);
/* Until it is so; fails in words if it takes too long, or if QEMU ends meanwhile. */
void vm_until(struct vm *vm, bool (*so)(const struct vm *vm), const char *what);
bool vm_has_driver(const struct vm *vm);
bool vm_has_none(const struct vm *vm);
bool vm_is_alone(const struct vm *vm);
/* Until the guest's user space came up once more. */
void vm_until_up(struct vm *vm, unsigned boots);

/* A command in the guest that must end well; the number that it prints, its text in vm->text.
 */
uint64_t vm_ask(struct vm *vm, const char *command);
/* Its two halves. */
void vm_tell(struct vm *vm, const char *command);
uint64_t vm_answer(struct vm *vm, const char *command);
/* A command of QMP that must be liked; arguments: the inside of its object, or NULL. */
void vm_qmp(struct vm *vm, const char *command, const char *arguments);
/* The same, but it may be disliked.  Returns whether it was liked. */
bool vm_try_qmp(struct vm *vm, const char *command, const char *arguments);

/* Show a new id, and take what is hinted until STOP. */
struct round vm_round(struct vm *vm);
/* Wait for the driver before, and be as quick as can be about it. */
struct round vm_first_round(struct vm *vm);
/* Show a new id and take some hints, which stay in hand, while the driver has more. */
void vm_begin_round(struct vm *vm);
void vm_forget(struct vm *vm);
/* It hinted most of that, each page once, and broke no rule. */
void vm_expect_hints(struct vm *vm, const struct round *round, uint64_t free_before);

uint64_t vm_free(struct vm *vm);
/* Wait for that much free memory.  Returns what there is. */
uint64_t vm_wait_free(struct vm *vm, uint64_t bytes);

uint64_t now_us(void);

/* A table that all tests write and that is printed when they are through. */
void table_open(void);
void table_row(const char *what, const struct round *round);
void table_print(void);

#endif
