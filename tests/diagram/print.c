/* SPDX-License-Identifier: MIT */
/*
 * Print the state tables of both roles as they stand in lib/README.md, from the
 * macros that the roles are compiled from.
 */
#include "device_round.h"
#include "guest_round.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct row {
	const char *state;
	const char *cells[11];
};

#define STR(...) #__VA_ARGS__
#define ROW11(s, a, b, c, d, e, f, g, h, i, j, k)                                                  \
	{ #s, { STR a, STR b, STR c, STR d, STR e, STR f, STR g, STR h, STR i, STR j, STR k } },
#define ROW7(s, a, b, c, d, e, f, g)                                                               \
	{ #s, { STR a, STR b, STR c, STR d, STR e, STR f, STR g } },
#define NAME1(name) #name,
#define QUOTE2(name, what) #what,

static const struct row device_rows[] = { FPH_DEVICE_TABLE(ROW11) };
static const char *const device_events[] = { FPH_DEVICE_EVENTS(NAME1) };
static const char *const device_shows[] = { FPH_DEVICE_STATES(QUOTE2) };
static const struct row guest_rows[] = { FPH_GUEST_TABLE(ROW7) };
static const char *const guest_events[] = { FPH_GUEST_EVENTS(NAME1) };
static const char *const guest_wants[] = { FPH_GUEST_STATES(QUOTE2) };

/* Split "NEXT, act", as the preprocessor left it, into two words. */
static void split(const char *text, char *next, char *act)
{
	if (sscanf(text, " %31[A-Z_] , %31[a-z]", next, act) != 2)
		next[0] = act[0] = '\0';
}

static void table(const char *what, const struct row *rows, size_t nrows, const char *const *events,
		  size_t nevents, const char *const *outputs)
{
	char next[32], act[32];

	printf("| state | %s |", what);
	for (size_t e = 0; e < nevents; e++)
		printf(" %s |", events[e]);
	printf("\n|---|---|");
	for (size_t e = 0; e < nevents; e++)
		printf("---|");
	printf("\n");
	for (size_t r = 0; r < nrows; r++) {
		printf("| **%s** | %s |", rows[r].state, strchr(outputs[r], '_') + 1);
		for (size_t e = 0; e < nevents; e++) {
			split(rows[r].cells[e], next, act);
			if (strcmp(next, rows[r].state) == 0)
				printf(" %s |", strcmp(act, "keep") ? act : "·");
			else
				printf(" → %s%s%s |", next, strcmp(act, "keep") ? ", " : "",
				       strcmp(act, "keep") ? act : "");
		}
		printf("\n");
	}
}

static void diagram(const struct row *rows, size_t nrows, const char *const *events,
		    size_t nevents)
{
	char next[32], act[32];

	printf("\n```mermaid\nstateDiagram-v2\n    [*] --> DOWN\n");
	for (size_t r = 0; r < nrows; r++) {
		for (size_t to = 0; to < nrows; to++) {
			bool any = false;

			for (size_t e = 0; e < nevents; e++) {
				split(rows[r].cells[e], next, act);
				if (to == r || strcmp(next, rows[to].state))
					continue;
				if (!any)
					printf("    %s --> %s: ", rows[r].state, rows[to].state);
				printf("%s%s", any ? ", " : "", events[e]);
				any = true;
			}
			if (any)
				printf("\n");
		}
	}
	printf("```\n");
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

int main(void)
{
	printf("### Device\n\n");
	table("shows", device_rows, COUNT(device_rows), device_events, COUNT(device_events),
	      device_shows);
	diagram(device_rows, COUNT(device_rows), device_events, COUNT(device_events));
	printf("\n### Guest\n\n");
	table("wants", guest_rows, COUNT(guest_rows), guest_events, COUNT(guest_events),
	      guest_wants);
	diagram(guest_rows, COUNT(guest_rows), guest_events, COUNT(guest_events));
	return 0;
}
