/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1
#include "uml_parts.h"

#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KERNEL	     "/usr/bin/linux.uml"
#define BUSYBOX	     "/bin/busybox"
#define MODULES	     "/usr/lib/uml/modules/*/kernel/drivers/virtio/virtio_balloon.ko"

#define BOOT_MS	     60000
#define RESERVE_MIB  24 /* left alone when memory is made dirty, for the guest to live on */
#define HINTING(dev) (fph_device_features(dev) & FPH_F_FREE_PAGE_HINT)

/* One line that says what failed, and what the kernel said last, if it said anything. */
static int fail(const struct guest *guest, const char *what, int err)
{
	const char *why = err == -ETIMEDOUT  ? "the guest says nothing any more"
			  : err == -ENOTCONN ? "the guest is gone"
					     : strerror(-err);
	const char *words = uml_last_words(guest);

	if (err == -EINTR)
		return err;
	fprintf(stderr, "uml: %s: %s%s\n", what, why, *words ? "; it said last:" : "");
	if (*words && !guest->config.verbose)
		fprintf(stderr, "%s%s", words, words[strlen(words) - 1] == '\n' ? "" : "\n");
	return err;
}

static int find_kernel(const struct guest_config *config, const char **kernel)
{
	*kernel = config->kernel ? config->kernel : KERNEL;
	if (!access(*kernel, X_OK))
		return 0;
	if (config->kernel)
		fprintf(stderr, "uml: %s: %s\n", *kernel, strerror(errno));
	else
		fprintf(stderr,
			"uml: linux.uml is not installed: run packaging/install-deps "
			"run (or apt-get install user-mode-linux), or give --kernel PATH\n");
	return -ENOENT;
}

/*
 * The newest packaged module.  It needs no other: where there is virtio_uml, which
 * cannot be a module, all that a virtio driver needs is built in.
 */
static int find_module(const struct guest_config *config, char *module, size_t max)
{
	const char *newest = config->module;
	glob_t found = {0};

	if (!newest && !glob(MODULES, 0, NULL, &found)) {
		newest = found.gl_pathv[0];
		for (size_t i = 1; i < found.gl_pathc; i++)
			if (strverscmp(found.gl_pathv[i], newest) > 0)
				newest = found.gl_pathv[i];
	}
	snprintf(module, max, "%s", newest ? newest : "");
	globfree(&found);
	if (newest && !access(module, R_OK))
		return 0;
	if (newest)
		fprintf(stderr, "uml: %s: %s\n", module, strerror(errno));
	else
		fprintf(stderr, "uml: virtio_balloon.ko is not installed: run "
				"packaging/install-deps run (or apt-get install "
				"user-mode-linux), or give --module PATH\n");
	return -ENOENT;
}

/*
 * init_on_alloc would have the driver write to every block that it hints, and
 * time the kernel's memset: off whatever the kernel's default is.  init_on_free
 * makes a page that is free read as zero.
 */
static int start_kernel(struct guest *guest, const char *kernel)
{
	char mem[32], initrd[128], umid[32], dir[128], device[128];
	const char *on_free = guest->config.oracle ? "init_on_free=1" : "init_on_free=0";
	const char *argv[] = {
		kernel,
		mem,
		initrd,
		"root=/dev/ram0",
		"rdinit=/init",
		"con0=fd:0,fd:1",
		"con1=fd:3,fd:3",
		"con=null",
		umid,
		dir,
		device,
		"init_on_alloc=0",
		on_free,
		NULL,
	};

	snprintf(guest->umid, sizeof(guest->umid), "u%u", ++guest->boots);
	snprintf(mem, sizeof(mem), "mem=%" PRIu64 "K", guest->config.memory / 1024);
	snprintf(initrd, sizeof(initrd), "initrd=%s/initrd", guest->dir);
	snprintf(umid, sizeof(umid), "umid=%s", guest->umid);
	snprintf(dir, sizeof(dir), "uml_dir=%s", guest->dir);
	snprintf(device, sizeof(device), "virtio_uml.device=%s/vhost:%u", guest->dir,
		 FPH_DEVICE_ID);
	return uml_process_start(&guest->process, guest->dir, (char *const *)argv);
}

/* Returns 0, or a negative errno after a line about it. */
static int tell(struct guest *guest, const char *command, char *answer, size_t max)
{
	int err = uml_command(guest, command, answer, max);

	if (err < 0)
		return fail(guest, command, err);
	if (!err)
		return 0;
	fprintf(stderr, "uml: \"%s\" failed in the guest: %s\n", command, guest->talk.answer);
	return -EIO;
}

static int make_dirty(struct guest *guest)
{
	char answer[64], command[32];
	uint64_t mib;
	int err = tell(guest, "free", answer, sizeof(answer));

	if (err)
		return err;
	mib = strtoull(answer, NULL, 10) / 1024;
	mib = mib > RESERVE_MIB ? (mib - RESERVE_MIB) * 95 / 100 : 0;
	snprintf(command, sizeof(command), "fill %" PRIu64, mib);
	guest->times.filled = mib;
	return tell(guest, command, NULL, 0);
}

static int bring_up(struct guest *guest)
{
	uint64_t began = uml_now_ms(), now;
	int err = uml_wait(guest, &guest->talk.answered, BOOT_MS);

	if (err)
		return fail(guest, "boot", err);
	now = uml_now_ms();
	guest->times.boot = now - began;
	began = now;
	err = make_dirty(guest);
	if (err)
		return err;
	now = uml_now_ms();
	guest->times.fill = now - began;
	began = now;
	err = tell(guest, "driver load", NULL, 0);
	if (err)
		return err;
	guest->times.load = uml_now_ms() - began;
	if (!HINTING(fph_vhost_user_device(guest->back))) {
		fprintf(stderr, "uml: the guest's driver did not accept free page hinting\n");
		return -EPROTO;
	}
	return tell(guest, "work on", NULL, 0);
}

int uml_boot(struct guest *guest)
{
	const char *kernel;
	char module[256], initrd[128];
	int err = find_kernel(&guest->config, &kernel);

	if (!err)
		err = find_module(&guest->config, module, sizeof(module));
	if (err)
		return err;
	if (access(BUSYBOX, R_OK)) {
		fprintf(stderr,
			"uml: %s is missing: run packaging/install-deps run "
			"(or apt-get install busybox-static)\n",
			BUSYBOX);
		return -ENOENT;
	}
	snprintf(initrd, sizeof(initrd), "%s/initrd", guest->dir);
	err = uml_initramfs_write(initrd, BUSYBOX, module);
	if (err)
		return err;
	err = start_kernel(guest, kernel);
	if (!err)
		err = uml_talk_start(guest);
	if (err) {
		fprintf(stderr, "uml: cannot start %s: %s\n", kernel, strerror(-err));
		return err;
	}
	return bring_up(guest);
}
