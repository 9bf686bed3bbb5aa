/* SPDX-License-Identifier: MIT */
/*
 * The driver end of a queue: lib/vq_drv.c, vq_split_drv.c, vq_packed_drv.c.  From an empty
 * ring on, any calls in any order, with a device that shows anything at any moment.
 */
#include <vq.h>

#ifndef SIZE
#define SIZE 2u
#endif
#ifndef STEPS
#define STEPS 3u
#endif
#ifndef BATCH
#define BATCH 1u
#endif

enum owner { OURS, QUEUED, SHOWN };

static struct fph_guest_slot slots[SIZE];
static struct fph_vq_drv vq;
static enum owner owner[SIZE];
static bool is_message[SIZE];
static bool reaped, bulk, refused, withdrawn;

static void give_back(uint16_t slot, enum owner from)
{
	PROVE(slot < SIZE);
	PROVE(owner[slot] == from);
	PROVE(slots[slot].gpa == 4096u * (slot + 1u));
	owner[slot] = OURS;
}

static void add(enum fph_slot_state state)
{
	uint16_t slot, free = vq.free_count;

	if (!free)
		return;
	slot = fph_vq_drv_slot(&vq);
	PROVE(slot < SIZE && owner[slot] == OURS);
	fph_vq_drv_add(&vq, 4096u * (slot + 1u), 8, state);
	owner[slot] = QUEUED;
	is_message[slot] = state == FPH_SLOT_MESSAGE;
	PROVE(vq.free_count == free - 1);
}

static void publish(void)
{
	int rc = fph_vq_drv_publish(&vq);
	bool any = false;

	for (unsigned i = 0; i < SIZE; i++) {
		any |= owner[i] == QUEUED;
		owner[i] = owner[i] == QUEUED ? SHOWN : owner[i];
	}
	PROVE(rc == (any ? rc & 1 : -EAGAIN));
}

static bool reap(void)
{
	struct fph_fault fault = { 0 };
	uint16_t slot, count;
	int rc = fph_vq_drv_reap(&vq, &slot, &count, &fault);

	PROVE(rc == 0 || rc == 1 || rc == -EPROTO);
	PROVE((rc == -EPROTO) == (fault.rule != 0));
	refused |= rc < 0;
	if (rc <= 0)
		return rc == 0;
	reaped = true;
	PROVE(count >= 1 && count <= SIZE);
	for (uint16_t i = 0; i < count; i++) {
		uint16_t at = (slot + i) % SIZE;

		give_back(at, SHOWN);
		PROVE(slots[at].state == (is_message[at] ? FPH_SLOT_MESSAGE : FPH_SLOT_HINT));
		fph_vq_drv_free(&vq, at);
	}
	return true;
}

static void reap_hints(void)
{
	struct fph_vq_list list = { FPH_NO_SLOT, 0 };
	uint32_t n = fph_vq_drv_reap_hints(&vq, &list);

	PROVE(n <= SIZE);
	for (uint32_t i = 0; i < n; i++) {
		uint16_t slot = list.first;

		PROVE(slot < SIZE && slots[slot].state == FPH_SLOT_RETURNED);
		list.first = slots[slot].next;
		give_back(slot, SHOWN);
		fph_vq_drv_free(&vq, slot);
		bulk = true;
	}
	PROVE(list.first == FPH_NO_SLOT);
	for (uint16_t i = 0; i < SIZE; i++)
		if (slots[i].state == FPH_SLOT_FREE && owner[i] != OURS) {
			PROVE(is_message[i]);
			give_back(i, SHOWN);
		}
}

static void withdraw(void)
{
	uint16_t slot, count;

	/* All of it, as the guest role does. */
	while (fph_vq_drv_withdraw(&vq, &slot, &count))
		for (; count; count--, slot = (slot + 1) % SIZE) {
			give_back(slot, QUEUED);
			fph_vq_drv_free(&vq, slot);
			withdrawn = true;
		}
	for (unsigned i = 0; i < SIZE; i++)
		PROVE(owner[i] != QUEUED);
}

static bool step(void)
{
	switch (any_up_to(5)) {
	case 0:
		add(FPH_SLOT_HINT);
		return true;
	case 1:
		add(FPH_SLOT_MESSAGE);
		publish();
		return true;
	case 2:
		publish();
		fph_vq_drv_interrupt(&vq, ANY(bool));
		return true;
	case 3:
		return reap();
	case 4:
		reap_hints();
		return true;
	default:
		withdraw();
		return true;
	}
}

static void prove_driver(bool packed)
{
	struct fph_vq_format format = { packed, ANY(bool), ANY(bool), ANY(bool) };
	uint16_t free = 0;

	fph_vq_drv_place(&vq, slots, any_bytes(fph_vq_drv_bytes(SIZE)), 1 << 20, SIZE, format,
			 BATCH);
	add(FPH_SLOT_HINT);
	publish();
	for (unsigned i = 0; i < STEPS; i++)
		if (!step())
			break;
	for (unsigned i = 0; i < SIZE; i++)
		free += owner[i] == OURS;
	PROVE(refused || vq.free_count == free);
	REACHED(reaped && withdrawn);
	REACHED(refused && reaped);
	REACHED(bulk);
	REACHED(owner[0] == SHOWN && owner[1] == SHOWN);
}

/*
 * proof: split_driver
 * of: fph_vq_drv_add, publish, reap, reap_hints, withdraw, interrupt, split ring
 * says: in bounds, ends; a slot comes back only if the device has it, once, and as it was added
 * bounds: ring of 2, a hint shown and 3 more calls, in order or not
 * sources: lib/vq_drv.c lib/vq_split_drv.c lib/vq_packed_drv.c
 * unwind: 4 fph_vq_drv_place.0:40
 * mutant: lib/vq_drv.c s/used->id >= vq->size || !(vq->slots/used->id >= vq->size || 0 \&\& !(vq->slots/
 */
void proof_split_driver(void)
{
	prove_driver(false);
}

/*
 * proof: packed_driver
 * of: fph_vq_drv_add, publish, reap, reap_hints, withdraw, interrupt, packed ring
 * says: in bounds, ends; a slot comes back only if the device has it, once, and as it was added
 * bounds: ring of 2, a hint shown and 3 more calls, in order or not
 * sources: lib/vq_drv.c lib/vq_split_drv.c lib/vq_packed_drv.c
 * unwind: 4 fph_vq_drv_place.0:40
 * mutant: lib/vq_packed_drv.c s/id >= size || !fph_vq_take_back/!fph_vq_take_back/
 */
void proof_packed_driver(void)
{
	prove_driver(true);
}
