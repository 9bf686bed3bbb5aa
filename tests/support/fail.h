/* SPDX-License-Identifier: MIT */
#ifndef SUPPORT_FAIL_H
#define SUPPORT_FAIL_H

#include <fph/transport.h>

enum bus_verb {
	VERB_FEATURES,
	VERB_ACCEPT,
	VERB_STATUS,
	VERB_SET_STATUS,
	VERB_CONFIG,
	VERB_SET_CONFIG,
	VERB_VQ_MAX,
	VERB_VQ_ENABLE,
	VERB_VQ_DISABLE,
	VERB_NOTIFY,
	VERB_TAKE_IRQ,
	VERB_COUNT,
	VERB_ANY = VERB_COUNT, /* in fail_at(): counted over all of them */
};

/*
 * A bus that fails a call.  The call that fails does not reach the bus below, or
 * reaches it and its answer is lost: both happen on a wire.
 */
struct fail {
	struct fph_bus under;
	unsigned calls[VERB_COUNT + 1]; /* made so far, and of any verb */
	enum bus_verb verb;
	unsigned nth; /* counted from 1 since fail_at(); 0: no failure */
	unsigned times;
	int error;	/* negative errno */
	bool delivered; /* the call arrives, only the answer is lost */
	unsigned failed; /* how many calls failed */
	unsigned base;
};

/* No failure yet. */
struct fph_bus fail_bus(struct fail *fail, struct fph_bus under);

/* From now on the nth call of verb (1: the next one), and `times` - 1 more, answer error. */
void fail_at(struct fail *fail, enum bus_verb verb, unsigned nth, unsigned times, int error);

const char *fail_verb_name(enum bus_verb verb);

#endif
