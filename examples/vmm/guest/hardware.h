/* SPDX-License-Identifier: MIT */
#ifndef GUEST_HARDWARE_H
#define GUEST_HARDWARE_H

#include "../machine_abi.h"
#include <stdbool.h>
#include <stddef.h>

/* Interrupt table and controller; interrupts are on when it returns. */
void hardware_init(void);
/* Did the balloon interrupt since the last call? */
bool hardware_interrupted(void);
/* Tell the VMM. */
void hardware_event(enum abi_event event, uint32_t a, uint32_t b);
_Noreturn void hardware_panic(uint32_t why);
/* Changed by the VMM. */
volatile struct abi_page *hardware_page(void);
/* First byte behind the guest and all it has. */
uint32_t hardware_end(void);

#endif
