/* SPDX-License-Identifier: MIT */
/* The guest, as guest/build made it; VMM_GUEST is that file. */
	.section .rodata
	.globl	vmm_guest, vmm_guest_end
	.balign	16
vmm_guest:
	.incbin	VMM_GUEST
vmm_guest_end:
	.section .note.GNU-stack, "", @progbits
