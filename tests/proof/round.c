/* SPDX-License-Identifier: MIT */
/* The two tables of the round: lib/device_round.h and guest_round.h, as they are walked. */
#include <device_priv.h>
#ifdef GUEST
#include <guest_priv.h>
#endif

#ifndef GUEST
/*
 * proof: device_round
 * of: fph_device_step, fph_device_shown
 * says: stays in the table; hints are taken in HINTING only; the id shown is never 0 or 1, new if told so
 * bounds: every state, event and id
 * sources: lib/device.c
 * unwind: 1
 * mutant: lib/device.c s/++d->id < FPH_COMMAND_FIRST/++d->id == 1/
 */
void proof_device_round(void)
{
	struct device d;
	enum fph_device_event event = (enum fph_device_event)any_up_to(FPH_DEVICE_EVENT_COUNT - 1);
	enum fph_device_act act;
	uint32_t old_id, shown, before;
	uint8_t old;

	ANYTHING(d);
	d.interrupt = NULL;
	ASSUME(d.state < FPH_DEVICE_STATE_COUNT && d.id >= FPH_COMMAND_FIRST);
	old = d.state;
	old_id = d.id;
	before = fph_device_shown(&d);
	act = fph_device_step(&d, event);
	shown = fph_device_shown(&d);
	PROVE(d.state < FPH_DEVICE_STATE_COUNT && d.id >= FPH_COMMAND_FIRST);
	PROVE(act <= FPH_DEVICE_refuse);
	PROVE((act == FPH_DEVICE_take) ==
	      (old == FPH_DEVICE_HINTING && event == FPH_DEVICE_EV_HINT));
	PROVE(d.state != FPH_DEVICE_HINTING || old == FPH_DEVICE_HINTING ||
	      (old == FPH_DEVICE_REQUESTED && event == FPH_DEVICE_EV_CMD_OURS));
	PROVE((act == FPH_DEVICE_newid) == (d.id != old_id));
	/* A round that is open shows its id, and no other state does (Q1, BH-11, BH-16). */
	PROVE((shown >= FPH_COMMAND_FIRST) ==
	      (d.state == FPH_DEVICE_REQUESTED || d.state == FPH_DEVICE_HINTING ||
	       d.state == FPH_DEVICE_ENDED));
	/* No change is kept from the driver. */
	PROVE(shown == before || act == FPH_DEVICE_newid || act == FPH_DEVICE_show ||
	      old == FPH_DEVICE_DOWN);
	if (event == FPH_DEVICE_EV_STOP || event == FPH_DEVICE_EV_GONE ||
	    event == FPH_DEVICE_EV_FINISH)
		PROVE(d.state != FPH_DEVICE_HINTING && d.state != FPH_DEVICE_REQUESTED);
	REACHED(act == FPH_DEVICE_take);
	REACHED(act == FPH_DEVICE_newid && old_id == UINT32_MAX);
}
#else
/*
 * proof: guest_round
 * of: fph_guest_move
 * says: stays in the table; feeds only after an id was seen; RESET leads DOWN, from where only ATTACHED leads
 * bounds: every state and event
 * sources: lib/guest.c
 * defines: -DGUEST
 * unwind: 1
 * mutant: lib/guest_round.h s/(HOLDING, close),(IDLE,  close),(ASKED,  close)/(HOLDING, close),(FEEDING,close),(ASKED,  close)/
 */
void proof_guest_round(void)
{
	struct guest g;
	enum fph_guest_event event = (enum fph_guest_event)any_up_to(FPH_GUEST_EVENT_COUNT - 1);
	enum fph_guest_act act;
	uint8_t old;

	ANYTHING(g);
	ASSUME(g.state < FPH_GUEST_STATE_COUNT);
	old = g.state;
	act = fph_guest_move(&g, event);
	PROVE(g.state < FPH_GUEST_STATE_COUNT && act <= FPH_GUEST_refuse);
	PROVE(event != FPH_GUEST_EV_RESET || g.state == FPH_GUEST_STATE_DOWN);
	PROVE(old != FPH_GUEST_STATE_DOWN || event == FPH_GUEST_EV_ATTACHED ||
	      g.state == FPH_GUEST_STATE_DOWN);
	PROVE(g.state != FPH_GUEST_STATE_FEEDING || old == FPH_GUEST_STATE_FEEDING ||
	      (old == FPH_GUEST_STATE_ASKED && act == FPH_GUEST_open));
	/* BH-6: what was begun is closed, unless the device is gone. */
	PROVE(old != FPH_GUEST_STATE_FEEDING || g.state == old || event == FPH_GUEST_EV_RESET ||
	      act == FPH_GUEST_close || act == FPH_GUEST_finish);
	/* BH-10: nothing is held once DONE was seen. */
	PROVE(event != FPH_GUEST_EV_SEE_DONE || g.state == FPH_GUEST_STATE_IDLE ||
	      g.state == FPH_GUEST_STATE_DOWN);
	REACHED(act == FPH_GUEST_open);
	REACHED(act == FPH_GUEST_close && g.state == FPH_GUEST_STATE_ASKED);
}
#endif
