/* SPDX-License-Identifier: MIT */
#include "copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BATCH	  64
#define BATCHES	  64 /* in one go, before others are served again */
#define SECOND_NS UINT64_C(1000000000)

/* Take one batch.  Returns what fph_device_poll() does. */
static int poll_batch(struct balloon *balloon)
{
	struct round *round = &balloon->round;
	struct fph_range ranges[BATCH], place;
	int n = fph_device_poll(balloon->device, ranges, BATCH);

	if (n <= 0)
		return n;
	round->last_ns = now_ns();
	if (!round->hints)
		round->first_ns = round->last_ns;
	for (int i = 0; i < n; i++) {
		round->hints++;
		round->bytes += ranges[i].len;
		if (round->valid &&
		    memory_place(&round->memory, balloon->server, ranges[i], &place))
			fph_bitmap_set(&round->hinted, place);
	}
	return n;
}

void round_poll(struct balloon *balloon)
{
	struct round *round = &balloon->round;
	int n = 1;

	balloon->waiting = false;
	for (int i = 0; i < BATCHES && (n > 0 || n == -EAGAIN); i++)
		n = poll_batch(balloon);
	/* Not through: again at the next turn, which does not wait then. */
	balloon->waiting = n > 0 || n == -EAGAIN;
	if (n == -EPROTO)
		round_void(balloon);
	if (round->open && !round->over && fph_device_round_over(balloon->device)) {
		round->over = true;
		round->over_ns = now_ns();
		round->wire = balloon_wire(balloon, &round->wire);
	}
}

/* Room for the hints; memory that cannot be copied is no reason not to hint. */
static int prepare(struct balloon *balloon, const char **why)
{
	struct round *round = &balloon->round;
	const char *no_file;

	round_free(balloon);
	if (memory_open(&round->memory, balloon->server, &no_file))
		return 0;
	round->hinted = (struct fph_bitmap){
		.words = calloc(FPH_BITMAP_WORDS(round->memory.pages), sizeof(uint64_t)),
		.pages = round->memory.pages,
		.shift = 12,
	};
	if (balloon->options->trust_driver)
		round->before = calloc(round->memory.pages, sizeof(uint64_t));
	if (round->hinted.words && (round->before || !balloon->options->trust_driver))
		return 0;
	round_free(balloon);
	*why = "too little memory to keep the hints in";
	return -ENOMEM;
}

/* What all pages hold, before the id is shown: see copy.c. */
static int look(struct balloon *balloon, const char **why)
{
	struct round *round = &balloon->round;
	struct copy copy = {
		.kind = COPY_SUMS,
		.from = round->memory.fd,
		.to = -1,
		.pages = round->memory.pages,
		.sums = round->before,
	};
	uint64_t start = now_ns();
	int err = round->before ? copy_run(&copy, balloon, "looking", true) : 0;

	round->before_ns = now_ns() - start;
	if (err)
		*why = err == -EINTR	 ? "interrupted" :
		       err == -ECANCELED ? "the guest's memory or driver changed meanwhile" :
					   "the guest's memory cannot be read";
	return err;
}

int round_start(struct balloon *balloon, const char **why)
{
	struct round *round = &balloon->round;
	int err;

	*why = "there is no driver that hints";
	if (!balloon->driver || !(fph_device_features(balloon->device) & FPH_F_FREE_PAGE_HINT))
		return -ENOTCONN;
	round_stop(balloon);
	err = prepare(balloon, why);
	if (!err)
		err = look(balloon, why);
	if (err)
		return err;
	round->wire = balloon_wire(balloon, NULL);
	err = fph_device_start(balloon->device);
	if (err) {
		*why = err == -EPROTO ? "the driver has broken a rule" :
					"there is no driver that hints";
		return err;
	}
	round->open = true;
	round->valid = true;
	round->id = fph_device_command(balloon->device);
	round->start_ns = now_ns();
	round_poll(balloon);
	return 0;
}

int round_wait(struct balloon *balloon)
{
	const struct round *round = &balloon->round;
	uint64_t end = round->start_ns + balloon->options->patience * SECOND_NS;
	int err = 0;

	while (!err && round->open && !round->over && now_ns() < end)
		err = balloon_turn(balloon, 100);
	return err;
}

void round_stop(struct balloon *balloon)
{
	struct round *round = &balloon->round;

	fph_device_stop(balloon->device);
	if (round->open && !round->over) {
		round->over_ns = now_ns();
		round->wire = balloon_wire(balloon, &round->wire);
	}
	round->open = false;
}

void round_done(struct balloon *balloon)
{
	round_stop(balloon);
	fph_device_done(balloon->device);
	balloon->round.valid = false;
}

void round_void(struct balloon *balloon)
{
	round_stop(balloon);
	balloon->round.valid = false;
	balloon->life++;
}

void round_free(struct balloon *balloon)
{
	struct round *round = &balloon->round;

	memory_close(&round->memory);
	free(round->hinted.words);
	free(round->before);
	*round = (struct round){ .memory = { .fd = -1 } };
}

uint64_t round_pages(const struct round *round)
{
	return round->hinted.words ? fph_bitmap_count(&round->hinted) : 0;
}
