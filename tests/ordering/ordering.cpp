/* SPDX-License-Identifier: MIT */
/*
 * The rings as they are shipped, under a memory model: two threads, one at each end, and
 * relacy, which takes them through executions in which loads see whatever the model of C++11
 * allows.  Each lettered barrier is weakened in turn, and must be missed.
 */
#include <relacy/relacy.hpp>

#include <vq.h>

#include "shm.h"

#include <cstring>
#include <ostream>

namespace
{

/* What is left out: half a barrier. */
enum weak { NOTHING, A_STORE, A_LOAD, B_STORE, B_LOAD, C_DRIVER, C_DEVICE, D_DEVICE, D_DRIVER };

struct half {
	weak which;
	const char *name;
	const char *where;
} const halves[] = {
	{ A_STORE, "A", "driver's release, publish" },
	{ A_LOAD, "A", "device's acquire, look" },
	{ B_STORE, "B", "device's release, return" },
	{ B_LOAD, "B", "driver's acquire, reap" },
	{ C_DRIVER, "C", "driver's fence, publish" },
	{ C_DEVICE, "C", "device's fence, doorbell" },
	{ D_DEVICE, "D", "device's fence, return" },
	{ D_DRIVER, "D", "driver's fence, interrupt" },
};

enum { DRIVER, DEVICE };

const unsigned SIZE = 2, BYTES = 512;
const uint64_t GPA = 0x10000;

alignas(4096) unsigned char ram[BYTES];
fph_region region = { GPA, BYTES, ram, 0 };
const fph_mem mem = { &region, 1 };

weak weakened;
struct fph_vq_format ring;
unsigned long executions;

/* One word of shared memory: 16 bits where the rings have counters and flags, else 32. */
struct words {
	rl::atomic<uint16_t> narrow[BYTES / 2];
	rl::atomic<uint32_t> wide[BYTES / 4];
	bool released[2]; /* the last access of a thread: then a fence belongs to it */
} * shared;

size_t offset_of(const void *p)
{
	return (size_t)((const unsigned char *)p - ram);
}

struct common : words {
	fph_vq_drv drv;
	fph_vq_dev dev;
	fph_guest_slot slots[SIZE];
	rl::var<int> content;

	/* Both ends as they are when one buffer has made its way there and back. */
	void begin()
	{
		shared = this;
		released[0] = released[1] = false;
		executions++;
		std::memset(&drv, 0, sizeof(drv));
		for (unsigned i = 0; i < BYTES / 2; i++)
			narrow[i].store(0, rl::mo_relaxed, $);
		for (unsigned i = 0; i < BYTES / 4; i++)
			wide[i].store(0, rl::mo_relaxed, $);
		fph_vq_drv_place(&drv, slots, ram, GPA, SIZE, ring, 1);
		RL_ASSERT(fph_vq_dev_enable(&dev, &mem, &drv.place, SIZE, ring) == FPH_RULE_NONE);
		hint();
		RL_ASSERT(fph_vq_drv_publish(&drv) == 1);
		RL_ASSERT(take());
		fph_vq_dev_return(&dev, false);
		RL_ASSERT(reap());
		content($) = 0;
	}

	void hint()
	{
		(void)fph_vq_drv_slot(&drv);
		fph_vq_drv_add(&drv, 0x100000, 4096, FPH_SLOT_HINT);
	}

	bool take()
	{
		fph_fault fault = {};
		fph_vq_buf buf;
		int rc = fph_vq_dev_next(&dev, &buf, &fault);

		RL_ASSERT(rc >= 0 && (rc == 0 || (buf.gpa == 0x100000 && buf.len == 4096)));
		return rc > 0;
	}

	bool reap()
	{
		fph_fault fault = {};
		uint16_t slot, count;
		int rc = fph_vq_drv_reap(&drv, &slot, &count, &fault);

		RL_ASSERT(rc >= 0);
		if (rc > 0)
			fph_vq_drv_free(&drv, slot);
		return rc > 0;
	}
};

/* A and B: what the other end wrote before it handed a buffer over is there. */
struct handed_over : rl::test_suite<handed_over, 2>, common {
	void before()
	{
		begin();
	}

	void thread(unsigned index)
	{
		if (index == DRIVER) {
			content($) = 1;
			hint();
			fph_vq_drv_publish(&drv);
			while (!reap())
				rl::yield(1, $);
			RL_ASSERT(content($) == 2);
		} else {
			while (!take())
				rl::yield(1, $);
			RL_ASSERT(content($) == 1);
			content($) = 2;
			fph_vq_dev_return(&dev, false);
		}
	}
};

/* C: the device goes to sleep as the driver makes a buffer available. */
struct rung_for : rl::test_suite<rung_for, 2>, common {
	bool rang, sleeps;

	void before()
	{
		begin();
		fph_vq_dev_doorbell(&dev, false);
		rang = sleeps = false;
	}

	void thread(unsigned index)
	{
		if (index == DRIVER) {
			hint();
			rang = fph_vq_drv_publish(&drv) == 1;
		} else {
			fph_fault fault = {};

			fph_vq_dev_doorbell(&dev, true);
			sleeps = fph_vq_dev_look(&dev, &fault) == 0;
		}
	}

	void after()
	{
		RL_ASSERT(rang || !sleeps);
	}
};

/* D: the driver goes to sleep as the device returns a buffer. */
struct told_of : rl::test_suite<told_of, 2>, common {
	bool told, sleeps;

	void before()
	{
		begin();
		fph_vq_drv_interrupt(&drv, false);
		hint();
		fph_vq_drv_publish(&drv);
		RL_ASSERT(take());
		told = sleeps = false;
	}

	void thread(unsigned index)
	{
		if (index == DEVICE) {
			told = fph_vq_dev_return(&dev, false) == 1;
		} else {
			fph_vq_drv_interrupt(&drv, true);
			sleeps = !reap();
		}
	}

	void after()
	{
		RL_ASSERT(told || !sleeps);
	}
};

} // namespace

/* ------------------------------------------------------------ lib/shm.h */

static bool weak_by(weak driver, weak device)
{
	return weakened == (rl::thread_index() == DRIVER ? driver : device);
}

static rl::memory_order load_order(bool acquire)
{
	shared->released[rl::thread_index() & 1] = false;
	return acquire && !weak_by(B_LOAD, A_LOAD) ? rl::mo_acquire : rl::mo_relaxed;
}

static rl::memory_order store_order(bool release)
{
	shared->released[rl::thread_index() & 1] = release;
	return release && !weak_by(A_STORE, B_STORE) ? rl::mo_release : rl::mo_relaxed;
}

uint16_t order_ld16(const void *p, bool acquire)
{
	return shared->narrow[offset_of(p) / 2].load(load_order(acquire), $);
}

uint32_t order_ld32(const void *p, bool acquire)
{
	return shared->wide[offset_of(p) / 4].load(load_order(acquire), $);
}

void order_st16(void *p, uint16_t v, bool release)
{
	shared->narrow[offset_of(p) / 2].store(v, store_order(release), $);
}

void order_st32(void *p, uint32_t v, bool release)
{
	shared->wide[offset_of(p) / 4].store(v, store_order(release), $);
}

void fph_full_barrier()
{
	bool behind = shared->released[rl::thread_index() & 1];

	shared->released[rl::thread_index() & 1] = false;
	if (behind ? !weak_by(C_DRIVER, D_DEVICE) : !weak_by(D_DRIVER, C_DEVICE))
		rl::atomic_thread_fence(rl::mo_seq_cst, $);
}

/* ------------------------------------------------------------ the runs */

/* Without a loop all executions there are, else as many at random. */
template <typename scenario> static bool holds(weak what, unsigned long iterations)
{
	std::ostream nowhere(nullptr);
	rl::test_params params;

	weakened = what;
	params.search_type = iterations ? rl::random_scheduler_type :
					  rl::fair_full_search_scheduler_type;
	params.iteration_count = iterations;
	params.output_stream = params.progress_stream = &nowhere;
	params.collect_history = false;
	return rl::simulate<scenario>(params);
}

static bool run(char letter, weak what, unsigned long iterations)
{
	switch (letter) {
	case 'C':
		return holds<rung_for>(what, 0);
	case 'D':
		return holds<told_of>(what, 0);
	default:
		return holds<handed_over>(what, iterations);
	}
}

static const char *name_of(const struct fph_vq_format &f)
{
	return f.packed	   ? f.event_idx ? "packed, events" : "packed" :
	       f.event_idx ? "split, events" :
			     "split";
}

int main(int argc, char **argv)
{
	unsigned long iterations = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 20000;
	unsigned held = 0, missed = 0, failed = 0;

	if (argc > 2 || iterations == 0) {
		std::fputs("ordering: the one argument is how many executions of each\n", stderr);
		return 2;
	}
	std::printf("%-16s %-8s %-28s %12s  %s\n", "ring", "barrier", "without", "executions",
		    "result");
	for (unsigned f = 0; f < 4; f++) {
		ring = {};
		ring.packed = f & 1;
		ring.event_idx = f & 2;
		for (char letter = 'A'; letter <= 'D'; letter++) {
			unsigned long before = executions;
			bool good = run(letter, NOTHING, iterations);

			std::printf("%-16s %-8c %-28s %12lu  %s\n", name_of(ring), letter, "-",
				    executions - before, good ? "holds" : "FAIL: does not hold");
			good ? held++ : failed++;
		}
		for (const half &h : halves) {
			unsigned long before = executions;
			bool good = run(*h.name, h.which, iterations);

			std::printf("%-16s %-8s %-28s %12lu  %s\n", name_of(ring), h.name, h.where,
				    executions - before,
				    good ? "FAIL: nobody misses it" : "missed");
			good ? failed++ : missed++;
		}
	}
	std::printf("ordering: %u barriers hold, %u halves of them are missed when weakened, %lu "
		    "executions\n",
		    held, missed, executions);
	std::printf("%u passed, %u failed, 0 skipped\n", held + missed, failed);
	return failed > 0;
}
