/* SPDX-License-Identifier: MIT */
/* What is but arithmetic: positions, events, options, whole pages. */
#include <device_priv.h>
#include <opts.h>

/* Where a position stands in the two turns of a packed ring's cycle. */
static uint32_t linear(uint16_t pos, uint16_t size)
{
	return (pos & ~FPH_WRAP & 0xffffu) + (pos & FPH_WRAP ? 0 : size);
}

/*
 * proof: positions
 * of: fph_pos_add
 * says: goes n descriptors on in the cycle of two turns, and stays inside the ring
 * bounds: all sizes to 32768, all positions and steps up to a turn
 * unwind: 1
 * mutant: lib/vq.h s/if (index < size)/if (index <= size)/
 */
void proof_positions(void)
{
	uint16_t size = (uint16_t)any_up_to(32768), n = (uint16_t)any_up_to(size);
	uint16_t pos = (uint16_t)nondet_u64(), to;
	uint32_t want;

	ASSUME(size && (pos & ~FPH_WRAP & 0xffffu) < size);
	to = fph_pos_add(pos, n, size);
	want = linear(pos, size) + n;
	PROVE((to & ~FPH_WRAP & 0xffffu) < size);
	PROVE(linear(to, size) == (want < 2u * size ? want : want - 2u * size));
	REACHED(n == size && size == 32768);
}

/*
 * proof: event_split
 * of: fph_event_passed
 * says: true if and only if the event is one of the indices gone over
 * bounds: all 2^48 inputs
 * unwind: 1
 * mutant: lib/vq.h s/now - event - 1/now - event/
 */
void proof_event_split(void)
{
	uint16_t event = (uint16_t)nondet_u64(), old = (uint16_t)nondet_u64();
	uint16_t n = (uint16_t)nondet_u64(), now = (uint16_t)(old + n);
	bool passed = fph_event_passed(event, now, old);

	PROVE(passed == ((uint16_t)(event - old) < n));
	REACHED(passed && now < old);
	REACHED(!passed && n);
}

/*
 * proof: event_packed
 * of: fph_event_wanted
 * says: true if and only if the position asked for was gone over, is none, or all are wanted
 * bounds: all sizes to 63, all positions, any word of the peer's
 * unwind: 1
 * mutant: lib/vq.h s/? size : 0u/? 0u : size/
 */
void proof_event_packed(void)
{
	uint16_t size = (uint16_t)any_up_to(63), n = (uint16_t)any_up_to(size);
	uint16_t from = (uint16_t)nondet_u64(), at;
	uint32_t event = (uint32_t)nondet_u64(), ahead;
	bool wanted, inside;

	ASSUME(size && (from & ~FPH_WRAP & 0xffffu) < size);
	wanted = fph_event_wanted(event, fph_pos_add(from, n, size), n, size);
	at = (uint16_t)event;
	inside = (at & ~FPH_WRAP & 0xffffu) < size;
	ahead = linear(at, size) + 2u * size - linear(from, size);
	ahead -= ahead >= 2u * size ? 2u * size : 0;
	if ((event >> 16 & 3) == FPH_EVENT_AT)
		PROVE(!inside || wanted == (ahead < n));
	else
		PROVE(wanted == ((event >> 16 & 3) != FPH_EVENT_DISABLE));
	PROVE(inside || (event >> 16 & 3) != FPH_EVENT_AT || wanted);
	REACHED((event >> 16 & 3) == FPH_EVENT_AT && inside && wanted);
	REACHED((event >> 16 & 3) == FPH_EVENT_AT && inside && !wanted && n);
}

#define KNOWN 32u
#define GIVEN 48u

/*
 * proof: copy_opts
 * of: fph_copy_opts
 * says: reads no byte past what is given, fills up with zeros, changes nothing on an error
 * bounds: struct of 32 bytes, 0 to 48 given
 * unwind: 50
 * mutant: lib/opts.h s/given < known ? given : known/known/
 */
void proof_copy_opts(void)
{
	size_t given = any_up_to(GIVEN), x = any_up_to(GIVEN - 1);
	unsigned char *from = any_bytes(given), to[KNOWN], old[KNOWN];
	int rc;

	ANYTHING(to);
	memcpy(old, to, sizeof(old));
	rc = fph_copy_opts(to, KNOWN, from, given);
	PROVE(rc == 0 || rc == -EINVAL || rc == -E2BIG);
	PROVE((rc == -EINVAL) == (given < sizeof(size_t)));
	if (x < KNOWN)
		PROVE(to[x] == (rc < 0 ? old[x] : x < given ? from[x] : 0));
	else
		PROVE(rc < 0 || x >= given || from[x] == 0);
	REACHED(rc == 0 && given > KNOWN);
	REACHED(rc == 0 && given < KNOWN);
	REACHED(rc == -E2BIG);
}

/*
 * proof: copy_stats
 * of: fph_copy_stats
 * says: writes no counter past the caller's size, reads none past ours
 * bounds: 6 counters here, a caller's struct of 0 to 10
 * unwind: 12
 * mutant: lib/opts.h s/i < known \/ sizeof(uint64_t) ?/i <= known \/ sizeof(uint64_t) ?/
 */
void proof_copy_stats(void)
{
	size_t room = any_up_to(80);
	uint64_t *to = any_bytes(room < 8 ? 8 : room), now[6], before[6], size = room;
	bool round = ANY(bool);
	int rc;

	ANYTHING(now);
	ANYTHING(before);
	to[0] = size;
	rc = fph_copy_stats(to, to, now, sizeof(now), 32, round ? before : NULL);
	PROVE(rc == (room % 8 || room < 32 ? -EINVAL : 0));
	PROVE(to[0] == size);
	PROVE(rc < 0 || room < 80 || to[9] == 0);
	PROVE(rc < 0 || to[3] == now[3] - (round ? before[3] : 0));
	REACHED(rc == 0 && room == 80);
	REACHED(rc < 0 && room > 32);
}

/*
 * proof: cut_inward
 * of: fph_cut_inward
 * says: what is left is whole pages inside, no page more could be, and nothing is lost uncounted
 * bounds: all ranges, pages of 1 byte to 2^40
 * unwind: 1
 * mutant: lib/device_priv.h s/(0 - range->gpa) & mask/range->gpa \& mask/
 */
void proof_cut_inward(void)
{
	struct fph_range old = { nondet_u64(), nondet_u64() }, range = old;
	uint8_t shift = (uint8_t)any_up_to(40);
	uint64_t mask = (UINT64_C(1) << shift) - 1, x = nondet_u64(), lost;
	unsigned __int128 page = x & ~mask, end = (unsigned __int128)old.gpa + old.len;
	bool whole;

	ASSUME(end <= (unsigned __int128)1 << 64);
	lost = fph_cut_inward(&range, shift);
	PROVE(range.len + lost == old.len && lost <= old.len);
	PROVE(!range.len || (!(range.gpa & mask) && !(range.len & mask)));
	whole = page >= old.gpa && page + mask + 1 <= end;
	PROVE((x - range.gpa < range.len) == whole);
	REACHED(range.len && lost && range.gpa > old.gpa);
	REACHED(!range.len && old.len > mask && mask);
}
