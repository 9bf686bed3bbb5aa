/* SPDX-License-Identifier: MIT */
#include "hardware.h"
#include <string.h>

#define VECTOR_BASE 0x20u

extern volatile uint32_t interrupted; /* set by balloon_isr */
volatile uint32_t interrupted;
extern void balloon_isr(void);
extern unsigned char guest_end[];

static struct gate {
	uint16_t low;
	uint16_t selector;
	uint16_t type;
	uint16_t high;
} gates[VECTOR_BASE + 16];

static struct {
	uint16_t pad; /* so that base is aligned */
	uint16_t limit;
	uint32_t base;
} table;

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

/* Both PICs to VECTOR_BASE, and nothing let through but the balloon. */
static void init_pics(void)
{
	static const uint8_t words[2][4] = { { 0x11, VECTOR_BASE, 4, 1 },
					     { 0x11, VECTOR_BASE + 8, 2, 1 } };

	for (unsigned pic = 0; pic < 2; pic++) {
		uint16_t port = pic ? 0xa0 : 0x20;

		out8(port, words[pic][0]);
		for (unsigned i = 1; i < 4; i++)
			out8(port + 1, words[pic][i]);
		out8(port + 1, pic ? 0xff : (uint8_t)~(1u << ABI_IRQ));
	}
}

void hardware_init(void)
{
	uint32_t isr = (uint32_t)(uintptr_t)balloon_isr;

	gates[VECTOR_BASE + ABI_IRQ] = (struct gate){ (uint16_t)isr, 8, 0x8e00,
						      (uint16_t)(isr >> 16) };
	table.limit = sizeof(gates) - 1;
	table.base = (uint32_t)(uintptr_t)gates;
	__asm__ volatile("lidt %0" : : "m"(table.limit), "m"(table.base));
	init_pics();
	__asm__ volatile("sti");
}

bool hardware_interrupted(void)
{
	bool was = interrupted;

	if (was)
		interrupted = 0;
	return was;
}

void hardware_event(enum abi_event event, uint32_t a, uint32_t b)
{
	out32(ABI_PORT_A, a);
	out32(ABI_PORT_B, b);
	out32(ABI_PORT_EVENT, event);
}

void hardware_panic(uint32_t why)
{
	for (;;) {
		hardware_event(ABI_PANIC, why, 0);
		__asm__ volatile("cli; hlt");
	}
}

volatile struct abi_page *hardware_page(void)
{
	return (volatile struct abi_page *)ABI_PAGE;
}

uint32_t hardware_end(void)
{
	return (uint32_t)(uintptr_t)guest_end;
}

void *memcpy(void *to, const void *from, size_t n)
{
	void *begin = to;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
	return begin;
}

void *memset(void *to, int c, size_t n)
{
	void *begin = to;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(c) : "memory");
	return begin;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (; n > 0; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}
