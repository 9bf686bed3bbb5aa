/* SPDX-License-Identifier: MIT */
/*
 * The ring as relacy's memory, and the two ends as its threads.
 */
#include "explore.h"

#include <relacy/relacy.hpp>

static const barrier *weak; /* the one that is weakened */
static weakness how;

/* An array, for on relacy's threads new and delete are relacy's. */
enum { PLACES = 64 };
place places[PLACES];
unsigned place_count;

static void note_place(const char *file, int line, bool known)
{
	for (unsigned i = 0; i < place_count; i++)
		if (places[i].line == line && !strcmp(places[i].file, file))
			return;
	if (place_count < PLACES)
		places[place_count++] = { file, line, known };
}

static bool is_weak(const char *file, int line, const char *where, bool fence)
{
	bool known = false;

	for (unsigned i = 0; i < barrier_count; i++)
		known |= barriers[i].fence == fence && !strcmp(barriers[i].where, where);
	note_place(file, line, known);
	return weak && weak->fence == fence && !strcmp(weak->where, where);
}

/* ------------------------------------------------------------ memory */

enum { FIELDS = 16 };

/*
 * A field of the ring: what the ends synchronise by is atomic, all else is plain, so that a
 * barrier too few is a data race.
 */
struct field {
	unsigned at;
	unsigned width;
	bool atomic;
};

static std::vector<field> layout(bool packed)
{
	if (packed)
		return { { 0, 8, false },  { 8, 4, false }, { 12, 4, true }, { 16, 8, false },
			 { 24, 4, false }, { 28, 4, true }, { 32, 4, true }, { 44, 4, true } };
	return { { 0, 8, false },  { 8, 8, false },  { 16, 8, false }, { 24, 8, false },
		 { 32, 2, true },  { 34, 2, true },  { 36, 2, false }, { 38, 2, false },
		 { 40, 2, true },  { 44, 2, true },  { 46, 2, true },  { 48, 4, false },
		 { 52, 4, false }, { 56, 4, false }, { 60, 4, false }, { 64, 2, true } };
}

static std::vector<field> fields;
static const order_scenario *scenario;

struct ring_test : rl::test_suite<ring_test, 2> {
	rl::atomic<unsigned> atomics[FIELDS];
	rl::var<uint64_t> plain[FIELDS];
	rl::var<unsigned> pages[ORDER_PAGES];
	bool placing;

	void before();
	void thread(unsigned index);
	void after();
};

static ring_test *now;

/* Whoever reads half of a field, or two at once, has no single access. */
static size_t find(const void *at, unsigned width)
{
	unsigned offset = (unsigned)(static_cast<const unsigned char *>(at) - order_ram);

	for (size_t i = 0; i < fields.size(); i++)
		if (fields[i].at == offset && fields[i].width == width)
			return i;
	fprintf(stderr, "explore: an access of %u bytes at %u, where the ring has no such field\n",
		width, offset);
	exit(2);
}

uint64_t order_load(const void *at, unsigned width, enum order order, const char *file, int line,
		    const char *where)
{
	size_t i = find(at, width);
	bool relaxed = order == ORDER_RELAXED || is_weak(file, line, where, false);

	if (!fields[i].atomic)
		return now->plain[i]($).load();
	return now->atomics[i].load(relaxed ? rl::mo_relaxed : rl::mo_acquire, $);
}

void order_store(void *at, unsigned width, uint64_t value, enum order order, const char *file,
		 int line, const char *where)
{
	size_t i;
	bool relaxed = order == ORDER_RELAXED || is_weak(file, line, where, false);

	if (now->placing) /* it is all 0 already */
		return order_check(value == 0, "a ring begins with zeros");
	i = find(at, width);
	if (!fields[i].atomic)
		now->plain[i]($).store(value);
	else
		now->atomics[i].store((unsigned)value, relaxed ? rl::mo_relaxed : rl::mo_release,
				      $);
}

void order_fence(const char *file, int line, const char *where)
{
	if (!is_weak(file, line, where, true))
		rl::atomic_thread_fence(rl::mo_seq_cst, $);
	else if (how == WEAK_ACQ_REL)
		rl::atomic_thread_fence(rl::mo_acq_rel, $);
}

void order_placing(bool on)
{
	now->placing = on;
}

void order_page_write(unsigned page, unsigned value)
{
	now->pages[page]($).store(value);
}

unsigned order_page_read(unsigned page)
{
	return now->pages[page]($).load();
}

static const char *broken; /* what did not hold */

void order_check(bool holds, const char *what)
{
	if (holds)
		return;
	broken = what;
	rl::ctx().fail_test(what, rl::test_result_user_assert_failed, $);
}

void ring_test::before()
{
	now = this;
	for (size_t i = 0; i < fields.size(); i++) {
		if (fields[i].atomic)
			atomics[i].store(0, rl::mo_relaxed, $);
		else
			plain[i]($).store(0);
	}
	scenario->before();
}

void ring_test::thread(unsigned index)
{
	if (index == 0)
		scenario->driver();
	else
		scenario->device();
}

void ring_test::after()
{
	scenario->after();
}

/* ------------------------------------------------------------ runs */

std::ostream nothing(NULL);
const char *const data_race = rl::test_result_str(rl::test_result_data_race);

result explore(int which, const order_ring &ring, const barrier *weakened, weakness how_weak,
	       std::ostream &story)
{
	rl::test_params params;
	result r;

	scenario = &order_scenarios[which];
	order_now = ring;
	fields = layout(ring.packed);
	weak = weakened;
	how = how_weak;
	params.search_type = rl::sched_full;
	params.iteration_count = 1000000000;
	params.output_stream = &story;
	params.progress_stream = &nothing;
	broken = NULL;
	r.holds = rl::simulate<ring_test>(params);
	r.executions = params.stop_iteration + 1; /* they are counted from 0 */
	r.why = r.holds ? "" : broken ? broken : rl::test_result_str(params.test_result);
	return r;
}
