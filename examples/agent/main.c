/* SPDX-License-Identifier: MIT */
#include "../output.h"
#include "options.h"

#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

static volatile sig_atomic_t stop_asked;

static void ask_stop(int signal)
{
	(void)signal;
	stop_asked = 1;
}

bool interrupted(void)
{
	return stop_asked;
}

/* No SA_RESTART: whatever waits shall come back and look. */
static void catch_signals(bool supervised)
{
	struct sigaction action = {.sa_handler = ask_stop};

	/* Ctrl-C goes to the whole group: those supervised are ended by the supervisor. */
	if (!supervised)
		sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
}

int cannot(const char *format, ...)
{
	va_list args;

	fputs("fph-agent: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return EXIT_CANNOT;
}

void say(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct options options;
	int status = options_parse(&options, argc, argv);

	if (status != -1)
		return status;
	catch_signals(options.board_fd >= 0);
	/* A line at once, whole: the other process writes to the same place. */
	setvbuf(stdout, NULL, _IOLBF, 512);
	setvbuf(stderr, NULL, _IOLBF, 512);
	switch (options.command) {
	case COMMAND_AGENT:
		status = agent_main(&options);
		break;
	case COMMAND_VMM:
		status = vmm_main(&options);
		break;
	default:
		status = supervise_main(&options);
	}
	/* Of the two that it supervises, the supervisor writes to the same place. */
	if (options.board_fd < 0 && !output_is_written("fph-agent") && !status)
		return EXIT_CANNOT;
	return status;
}
