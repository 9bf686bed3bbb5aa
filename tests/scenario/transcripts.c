/* SPDX-License-Identifier: MIT */
/*
 * Golden transcripts: each .txt file here is a list of steps with what came of them,
 * down to each verb on the bus.  README.md says how to read, write and update one.
 */
#include "support/loop.h"
#include "support/trace.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <fph/bitmap.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGES	  256u /* of HIGH: page 0 is its first */
#define TEXT_MAX  32768u
#define WORDS_MAX 8
#define POLL_MAX  16u

/* One life of both ends, and the memory of a migration. */
static struct {
	struct loop l;
	struct trace trace;
	bool open;
	uint64_t log_words[FPH_BITMAP_WORDS(PAGES)], left_words[FPH_BITMAP_WORDS(PAGES)];
	struct fph_bitmap log;	/* written since the last sync */
	struct fph_bitmap left; /* to be sent */
	char got[TEXT_MAX];
	size_t len;
} s;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(s.got + s.len, sizeof(s.got) - s.len, format, ap);
	va_end(ap);
	cr_assert(n >= 0 && (size_t)n < sizeof(s.got) - s.len, "the transcript is too long");
	s.len += (size_t)n;
}

/* ------------------------------------------------------------ hooks */

/* A hook may be called in the midst of a verb, whose line then ends here. */
static void hook(const char *name)
{
	if (s.trace.len > 0 && s.trace.text[s.trace.len - 1] != '\n')
		trace_line(&s.trace, "%s", "");
	trace_line(&s.trace, "hook %s", name);
}

static void on_interrupt(void *ctx)
{
	(void)ctx;
	hook("interrupt");
}

static void on_hints(void *ctx)
{
	(void)ctx;
	hook("hints");
}

static void on_stat(void *ctx, struct fph_stat stat)
{
	(void)ctx;
	(void)stat;
	hook("stat");
}

/* ------------------------------------------------------------ words of a step */

static uint64_t number(const char *word)
{
	char *end;
	uint64_t n;

	cr_assert_not_null(word, "a number is missing");
	n = strtoull(word, &end, 0);
	cr_assert(end != word && *end == '\0', "'%s' is no number", word);
	return n;
}

/* "7" is page 7, "7+3" are three pages from there. */
static struct fph_range pages(const char *word)
{
	char first[16], *plus;
	uint64_t n = 1;

	cr_assert_not_null(word, "pages are missing");
	cr_assert_lt(strlen(word), sizeof(first));
	strcpy(first, word);
	plus = strchr(first, '+');
	if (plus) {
		*plus = '\0';
		n = number(plus + 1);
	}
	return (struct fph_range){ RAM_HIGH + FPH_HINT_PAGE * number(first), FPH_HINT_PAGE * n };
}

static const char *pages_name(struct fph_range range)
{
	static char name[48];

	snprintf(name, sizeof(name), "%" PRIu64 "+%" PRIu64,
		 (range.gpa - RAM_HIGH) / FPH_HINT_PAGE, range.len / FPH_HINT_PAGE);
	return name;
}

/* ------------------------------------------------------------ steps */

static int do_option(char **w)
{
	if (!strcmp(w[1], "ring"))
		s.l.guest_opts.ring_size = (uint16_t)number(w[2]);
	else if (!strcmp(w[1], "early-reuse"))
		s.l.guest_opts.flags |= FPH_GUEST_EARLY_REUSE;
	else
		cr_assert_fail("no option '%s'", w[1]);
	return 0;
}

static int do_device(char **w)
{
	struct fph_device *dev = &s.l.dev;
	struct fph_range out[POLL_MAX];
	uint64_t max;
	int rc;

	if (!strcmp(w[1], "start"))
		return fph_device_start(dev);
	if (!strcmp(w[1], "stop"))
		return fph_device_stop(dev);
	if (!strcmp(w[1], "done"))
		return fph_device_done(dev);
	if (!strcmp(w[1], "ack"))
		return fph_device_ack(dev);
	if (!strcmp(w[1], "ask-stats"))
		return fph_device_ask_stats(dev);
	cr_assert_str_eq(w[1], "poll", "no step 'device %s'", w[1]);

	max = number(w[2]);
	cr_assert_leq(max, POLL_MAX);
	rc = fph_device_poll(dev, out, max);
	for (int i = 0; i < rc; i++)
		trace_line(&s.trace, "hint %s cleared %" PRIu64, pages_name(out[i]),
			   fph_bitmap_clear(&s.left, out[i]));
	return rc;
}

static int hint(char **w)
{
	struct fph_range ranges[WORDS_MAX];
	size_t n = 0;

	for (; w[n]; n++)
		ranges[n] = pages(w[n]);
	return fph_guest_hint(&s.l.guest, ranges, n);
}

static int reclaim(uint64_t max)
{
	struct fph_range out[POLL_MAX];
	int n;

	cr_assert_leq(max, POLL_MAX);
	n = fph_guest_reclaim(&s.l.guest, out, max);
	for (int i = 0; i < n; i++)
		trace_line(&s.trace, "back %s", pages_name(out[i]));
	return n;
}

static int step(void)
{
	int wants = loop_step(&s.l);

	if (wants >= 0)
		trace_line(&s.trace, "wants%s%s%s%s%s", wants & FPH_GUEST_FEED ? " feed" : "",
			   wants & FPH_GUEST_RELEASE ? " release" : "",
			   wants & FPH_GUEST_RECLAIM ? " reclaim" : "",
			   wants & FPH_GUEST_STALLED ? " stalled" : "", wants ? "" : " nothing");
	return wants;
}

static int do_guest(char **w)
{
	struct fph_guest *guest = &s.l.guest;

	if (!strcmp(w[1], "attach"))
		return fph_guest_attach(guest);
	if (!strcmp(w[1], "attach-unseen")) {
		int rc = fph_guest_attach(guest);

		trace_clear(&s.trace);
		return rc;
	}
	if (!strcmp(w[1], "step"))
		return step();
	if (!strcmp(w[1], "hint"))
		return hint(w + 2);
	if (!strcmp(w[1], "flush"))
		return fph_guest_flush(guest);
	if (!strcmp(w[1], "end"))
		return fph_guest_end(guest);
	if (!strcmp(w[1], "reclaim"))
		return reclaim(number(w[2]));
	if (!strcmp(w[1], "reset"))
		return fph_guest_reset(guest);
	if (!strcmp(w[1], "wait")) {
		s.l.now_us += number(w[2]);
		return 0;
	}
	cr_assert_str_eq(w[1], "write", "no step 'guest %s'", w[1]);
	for (w += 2; *w; w++)
		fph_bitmap_set(&s.log, pages(*w));
	return 0;
}

/* The migration's side: fold the dirty log, re-protected as it is read, or send. */
static int do_vmm(char **w)
{
	uint64_t n = fph_bitmap_count(&s.left);

	if (!strcmp(w[1], "sync")) {
		for (size_t i = 0; i < sizeof(s.log_words) / sizeof(s.log_words[0]); i++)
			s.left_words[i] |= s.log_words[i];
		memset(s.log_words, 0, sizeof(s.log_words));
		trace_line(&s.trace, "%" PRIu64 " pages to send", fph_bitmap_count(&s.left));
		return 0;
	}
	cr_assert_str_eq(w[1], "send", "no step 'vmm %s'", w[1]);
	memset(s.left_words, 0, sizeof(s.left_words));
	trace_line(&s.trace, "%" PRIu64 " pages sent", n);
	return 0;
}

/* A driver that is not honest: 16 bits at an offset in its ring. */
static int do_poke(char **w)
{
	ram_st16(&s.l.ram, LOOP_RING + number(w[1]), (uint16_t)number(w[2]));
	return 0;
}

static int do_show(char **w)
{
	struct fph_device_stats d = loop_device_stats(&s.l);
	const struct fph_fault *f = fph_device_fault(&s.l.dev);

	if (!strcmp(w[1], "fault")) {
		trace_line(&s.trace, "%s: %s", fph_rule_name(f->rule), fph_rule_spec(f->rule));
		return 0;
	}
	cr_assert_str_eq(w[1], "counters", "no step 'show %s'", w[1]);
	trace_line(&s.trace,
		   "rounds %" PRIu64 " commands %" PRIu64 " hints %" PRIu64 " stale %" PRIu64
		   " foreign %" PRIu64 " unasked %" PRIu64,
		   d.rounds, d.commands, d.hints, d.stale, d.foreign_id, d.unasked);
	return 0;
}

/* ------------------------------------------------------------ playing */

static void open_both(void)
{
	s.open = true;
	s.l.dev_opts.ctx = NULL;
	s.l.dev_opts.interrupt = on_interrupt;
	s.l.dev_opts.hints = on_hints;
	s.l.dev_opts.stat = on_stat;
	s.l.guest_opts.bus = trace_bus(&s.trace, s.l.guest_opts.bus);
	loop_open(&s.l);
	s.log = (struct fph_bitmap){ s.log_words, PAGES, RAM_HIGH, 12 };
	s.left = (struct fph_bitmap){ s.left_words, PAGES, RAM_HIGH, 12 };
	memset(s.left_words, 0xff, sizeof(s.left_words)); /* all is to be sent at first */
}

static void say_result(int rc)
{
	char *line = s.trace.text;

	for (char *end; (end = strchr(line, '\n')); line = end + 1)
		if (end > line)
			say("\t%.*s\n", (int)(end - line), line);
	trace_clear(&s.trace);
	if (rc < 0)
		say("\t= -%s", trace_errno(-rc));
	else
		say("\t= %d", rc);
	say("\tdevice %s %#x\tguest %s %" PRIu64 "\n", fph_device_state_name(&s.l.dev),
	    fph_device_command(&s.l.dev), fph_guest_state_name(&s.l.guest),
	    fph_guest_held(&s.l.guest) / FPH_HINT_PAGE);
}

static void play_step(char *line)
{
	static const struct {
		const char *name;
		int (*run)(char **w);
	} steps[] = {
		{ "device", do_device }, { "guest", do_guest }, { "vmm", do_vmm },
		{ "poke", do_poke },	 { "show", do_show },
	};
	char *w[WORDS_MAX + 3] = { 0 };
	size_t n = 0;

	for (char *p = strtok(line, " "); p && n < WORDS_MAX + 2; p = strtok(NULL, " "))
		w[n++] = p;
	cr_assert_geq(n, 2, "a step has two words at least");
	if (!strcmp(w[0], "option")) {
		cr_assert(!s.open, "options come first");
		do_option(w);
		return;
	}
	if (!s.open)
		open_both();
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (!strcmp(w[0], steps[i].name)) {
			say_result(steps[i].run(w));
			return;
		}
	cr_assert_fail("no step '%s'", w[0]);
}

/* The next line of *text, or NULL; *text moves past it, and its end becomes a NUL. */
static char *next_line(char **text)
{
	char *line = *text, *end;

	if (*line == '\0')
		return NULL;
	end = strchr(line, '\n');
	*text = end ? end + 1 : line + strlen(line);
	if (end)
		*end = '\0';
	return line;
}

static void read_file(const char *path, char *text)
{
	FILE *f = fopen(path, "r");
	size_t n;

	cr_assert_not_null(f, "%s: %s", path, strerror(errno));
	n = fread(text, 1, TEXT_MAX - 1, f);
	cr_assert(n > 0 && n < TEXT_MAX - 1, "%s is empty or too long", path);
	text[n] = '\0';
	fclose(f);
}

/* Returns how many lines differ; prints the first few. */
static unsigned compare(const char *name, char *want, char *got)
{
	unsigned differ = 0;

	for (unsigned number = 1;; number++) {
		char *w = next_line(&want), *g = next_line(&got);

		if (!w && !g)
			return differ;
		if (w && g && !strcmp(w, g))
			continue;
		if (++differ <= 5)
			fprintf(stderr, "%s:%u: expected %s\n%s:%u: got      %s\n", name, number,
				w ? w : "(no line)", name, number, g ? g : "(no line)");
	}
}

static void play(const char *name)
{
	static char want[TEXT_MAX], script[TEXT_MAX];
	char path[512], *text = script, *line;
	unsigned steps = 0, differ;

	snprintf(path, sizeof(path), "%s/%s", SCENARIO_DIR, name);
	read_file(path, want);
	strcpy(script, want);
	loop_options(&s.l);
	while ((line = next_line(&text))) {
		if (line[0] == '#' || line[0] == '\0') {
			say("%s\n", line);
		} else if (line[0] == '$') {
			say("%s\n", line);
			play_step(line + 1);
			steps++;
		}
	}
	cr_assert_gt(steps, 3, "%s holds no steps", name);
	if (getenv("FPH_UPDATE")) {
		FILE *f = fopen(path, "w");

		cr_assert(f && fputs(s.got, f) >= 0 && fclose(f) == 0, "%s: %s", path,
			  strerror(errno));
		return;
	}
	differ = compare(name, want, s.got);
	cr_assert_eq(differ, 0, "%u lines of %s differ", differ, name);
}

Test(transcript, a_plain_round)
{
	play("plain_round.txt");
}

Test(transcript, two_rounds_with_a_dirty_sync_between)
{
	play("two_rounds.txt");
}

Test(transcript, done_gives_the_pages_back)
{
	play("done.txt");
}

Test(transcript, a_driver_that_comes_up_during_a_migration)
{
	play("late_driver.txt");
}

Test(transcript, a_reset_in_mid_round)
{
	play("reset.txt");
}

Test(transcript, a_stop_that_crosses_a_new_id)
{
	play("stale_stop.txt");
}

Test(transcript, a_round_called_off_before_the_flush)
{
	play("called_off.txt");
}

Test(transcript, a_full_ring_and_reclaim)
{
	play("full_ring.txt");
}

Test(transcript, a_fault_and_recovery)
{
	play("fault.txt");
}

Test(transcript, a_start_that_the_fence_makes_stale)
{
	play("fence.txt");
}

Test(transcript, a_doorbell_that_was_lost)
{
	play("lost_doorbell.txt");
}
