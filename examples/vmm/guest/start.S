/* SPDX-License-Identifier: MIT */
/* The machine begins here: flat segments, no paging, interrupts off. */
	.code32
	.section .text.start, "ax"
	.globl	_start
_start:
	call	guest_main
1:	cli
	hlt
	jmp	1b

/*
 * The balloon's interrupt: note it, and tell the controller.  Returns without IRET, which
 * for a flat guest is a POPF and a RET: a hypervisor that interprets protected mode, as
 * some nested ones do, may not know IRET there.
 */
	.text
	.globl	balloon_isr
balloon_isr:
	pushl	%eax
	pushl	%edx
	movl	$1, interrupted
	movb	$0x20, %al
	outb	%al, $0x20
	movl	8(%esp), %eax		/* EIP */
	movl	16(%esp), %edx		/* EFLAGS */
	movl	%edx, 12(%esp)
	movl	%eax, 16(%esp)
	popl	%edx
	popl	%eax
	leal	4(%esp), %esp
	popfl
	ret
	.section .note.GNU-stack, "", @progbits
