/* SPDX-License-Identifier: MIT */
#include "uml_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/*
 * The guest's whole user space.  A command line is "NUMBER SHELL-COMMAND", its
 * answer "NUMBER STATUS OUTPUT" on one line; the end of the channel ends the guest.
 * What is filled and rewritten is fresh random data each time: no two pages, and no
 * two contents of one page, are ever alike.
 */
static const char init_script[] =
	"#!/bin/busybox sh\n"
	"/bin/busybox --install -s /bin\n"
	"export PATH=/bin\n"
	"mount -t proc proc /proc\n"
	"mount -t sysfs sys /sys\n"
	"mount -t devtmpfs dev /dev\n"
	"mount -t tmpfs -o size=100% tmp /tmp\n"
	"free() {\n"
	"	while read -r name kib unit; do\n"
	"		case $name in MemFree:) echo \"$kib\"; return ;; esac\n"
	"	done </proc/meminfo\n"
	"}\n"
	"fill() {\n"
	"	local left=$1\n"
	"	while [ \"$left\" -gt 0 ]; do\n"
	"		dd if=/dev/urandom of=/tmp/fill.$left bs=1M \\\n"
	"			count=$((left < 64 ? left : 64)) 2>/dev/null || break\n"
	"		left=$((left - 64))\n"
	"		echo \"fill: $left MiB to go\" >/dev/console\n"
	"	done\n"
	"	rm -f /tmp/fill.*\n"
	"	[ \"$left\" -le 0 ]\n"
	"}\n"
	"rewrite() {\n"
	"	exec >/dev/null 2>&1\n"
	"	while :; do\n"
	"		dd if=/dev/urandom of=/tmp/work bs=1M count=4 conv=notrunc\n"
	"		usleep 100000\n"
	"	done\n"
	"}\n"
	"work() {\n"
	"	if [ \"$1\" = on ]; then\n"
	"		rewrite &\n"
	"		echo $! >/run.pid\n"
	"	else\n"
	"		kill \"$(cat /run.pid)\"\n"
	"	fi\n"
	"}\n"
	"driver() {\n"
	"	local sys=/sys/bus/virtio/drivers/virtio_balloon\n"
	"	case $1 in\n"
	"	load) insmod /virtio_balloon.ko ;;\n"
	"	unload) rmmod virtio_balloon ;;\n"
	"	*) echo virtio0 >$sys/$1 ;;\n"
	"	esac\n"
	"}\n"
	"exec 3<>/dev/tty1\n"
	"stty -F /dev/tty1 raw -echo\n"
	"echo 0 0 ready >&3\n"
	"while read -r id line <&3; do\n"
	"	out=$(eval \"$line\" 2>&1 3>&-)\n"
	"	status=$?\n"
	"	(set -f; echo $id $status $out) >&3\n"
	"done\n"
	"poweroff -f\n";

struct archive {
	FILE *file;
	unsigned entries;
};

static void pad(FILE *file)
{
	while (ftell(file) % 4 > 0)
		fputc(0, file);
}

/* A newc header; the content follows, then pad(). */
static void entry(struct archive *to, const char *name, unsigned mode, size_t size,
		  unsigned major, unsigned minor)
{
	fprintf(to->file, "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X",
		++to->entries, mode, 0u, 0u, 1u, 0u, size, 0u, 0u, major, minor,
		strlen(name) + 1, 0u);
	fwrite(name, 1, strlen(name) + 1, to->file);
	pad(to->file);
}

static void text(struct archive *to, const char *name, unsigned mode, const char *content)
{
	entry(to, name, S_IFREG | mode, strlen(content), 0, 0);
	fputs(content, to->file);
	pad(to->file);
}

static int copy(struct archive *to, const char *name, unsigned mode, const char *from)
{
	FILE *file = fopen(from, "rb");
	size_t left, n;
	struct stat st;
	char buf[65536];
	int err = 0;

	if (!file || fstat(fileno(file), &st)) {
		err = -errno;
	} else if (!S_ISREG(st.st_mode) || st.st_size > UINT32_MAX) {
		err = -EINVAL;
	} else {
		entry(to, name, S_IFREG | mode, (size_t)st.st_size, 0, 0);
		for (left = (size_t)st.st_size; left > 0; left -= n) {
			n = fread(buf, 1, left < sizeof(buf) ? left : sizeof(buf), file);
			if (!n)
				break;
			fwrite(buf, 1, n, to->file);
		}
		if (left)
			err = -EIO;
		pad(to->file);
	}
	if (file)
		fclose(file);
	if (err)
		fprintf(stderr, "uml: cannot read %s: %s\n", from, strerror(-err));
	return err;
}

int uml_initramfs_write(const char *path, const char *busybox, const char *module)
{
	static const char *const dirs[] = {"bin", "dev", "proc", "sys", "tmp"};
	struct archive to = {.file = fopen(path, "wb")};
	int err;

	if (!to.file) {
		err = -errno;
		fprintf(stderr, "uml: cannot write %s: %s\n", path, strerror(-err));
		return err;
	}
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		entry(&to, dirs[i], S_IFDIR | 0755, 0, 0, 0);
	entry(&to, "dev/console", S_IFCHR | 0600, 0, 5, 1);
	text(&to, "init", 0755, init_script);
	err = copy(&to, "bin/busybox", 0755, busybox);
	if (!err)
		err = copy(&to, "virtio_balloon.ko", 0644, module);
	entry(&to, "TRAILER!!!", 0, 0, 0, 0);
	if (ferror(to.file) && !err)
		err = -EIO;
	if (fclose(to.file) && !err)
		err = -errno;
	if (err == -EIO || err == -ENOSPC)
		fprintf(stderr, "uml: cannot write %s: %s\n", path, strerror(-err));
	return err;
}
