/* SPDX-License-Identifier: MIT */
#ifndef FPH_ORDERING_H
#define FPH_ORDERING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Between the library's ring code and the scenarios, which are C, and relacy, which is C++
 * and decides what each load returns and which thread runs next.
 */

enum order {
	ORDER_RELAXED,
	ORDER_ACQUIRE,
	ORDER_RELEASE,
};

/* Shared memory, by lib/shm.h's stand-in.  `file` and `line` tell the barriers apart. */
uint64_t order_load(const void *at, unsigned width, enum order order, const char *file, int line,
		    const char *where);
void order_store(void *at, unsigned width, uint64_t value, enum order order, const char *file,
		 int line, const char *where);
void order_fence(const char *file, int line, const char *where);

/* While a ring is placed, which stores zeros by words of 4, whatever its fields are. */
void order_placing(bool on);

/* What stands in a buffer, as plain memory: two that touch it unordered are a data race. */
#define ORDER_PAGES 4u
void order_page_write(unsigned page, unsigned value);
unsigned order_page_read(unsigned page);
/* A failure unless it holds. */
void order_check(bool holds, const char *what);

/* What is said when both ends missed each other. */
extern const char order_no_doorbell[], order_no_interrupt[];

/* The memory of the ring. */
#define ORDER_GPA   0x10000u
#define ORDER_SIZE  2u
#define ORDER_BYTES 4096u
extern unsigned char order_ram[ORDER_BYTES];

/* What is run: set by the explorer before each execution. */
struct order_ring {
	bool packed;
	bool event_idx;
	bool in_order;
	bool bulk;     /* the paths for many plain hints, not those for any chain */
	unsigned laps; /* buffers that went round before */
};
extern struct order_ring order_now;

/* before() and after() run alone, the other two on a thread each. */
struct order_scenario {
	const char *name;
	const char *what;
	void (*before)(void);
	void (*driver)(void);
	void (*device)(void);
	void (*after)(void);
};

enum {
	SCENARIO_SHOW,
	SCENARIO_RETURN,
	SCENARIO_DOORBELL,
	SCENARIO_INTERRUPT,
	SCENARIO_ROUND,
	SCENARIOS,
};
extern const struct order_scenario order_scenarios[SCENARIOS];

#ifdef __cplusplus
}
#endif

#endif
