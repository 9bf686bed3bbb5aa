/* SPDX-License-Identifier: MIT */
/* The device end: ISR, INTA#, MSI-X.  virtio 1.4, 4.1.4.5 and 4.1.5.1.2 to 4.1.5.4 */
#include "wire.h"
#include <criterion/criterion.h>

static struct wire w;

static void running(uint16_t vectors, uint32_t flags)
{
	wire_options(&w);
	w.device_opts.vectors = vectors;
	w.device_opts.flags = flags;
	wire_device(&w);
	wire_negotiate(&w);
	SET(&w, CONFIG_VECTOR, 0);
	SET(&w, QUEUE_SELECT, 2);
	SET(&w, QUEUE_VECTOR, 1);
	cr_assert_eq(wire_enable(&w, 2), 1);
	SET(&w, QUEUE_SELECT, 3);
	SET(&w, QUEUE_VECTOR, 2);
	cr_assert_eq(wire_enable(&w, 3), 1);
	SET(&w, STATUS, 0xf);
}

static void config_event(void)
{
	static uint32_t pages;

	cr_assert_eq(fph_device_set_num_pages(&w.l.dev, ++pages), 0);
}

/* A buffer that the device returns at once: a STOP of no round. */
static void queue_event(void)
{
	uint64_t desc = RAM_LOW + 0x40000, avail = desc + 0x4000, used = desc + 0x8000;
	uint16_t n = ram_ld16(&w.l.ram, avail + 2);
	struct fph_range out[2];

	ram_st32(&w.l.ram, RAM_HIGH, 0);
	ram_st64(&w.l.ram, desc, RAM_HIGH);
	ram_st32(&w.l.ram, desc + 8, 4);
	ram_st16(&w.l.ram, avail + 4 + 2 * (n % 16), 0);
	ram_st16(&w.l.ram, avail + 2, (uint16_t)(n + 1));
	wire_write(&w, FPH_PCI_NOTIFY + 3 * FPH_PCI_NOTIFY_MUL, 2, 3);
	cr_assert_eq(fph_device_poll(&w.l.dev, out, 2), 0);
	cr_assert_eq(ram_ld16(&w.l.ram, used + 2), n + 1);
}

/* ------------------------------------------------------------ INTA# */

Test(pci_interrupts, pc6_isr_says_what_happened_and_is_cleared_by_the_read)
{
	running(4, 0);
	cr_expect_eq(wire_read(&w, ISR, 1), 0);
	config_event();
	cr_expect_eq(wire_read(&w, ISR, 1), 2);
	cr_expect_eq(wire_read(&w, ISR, 1), 0);
	queue_event();
	cr_expect_eq(wire_read(&w, ISR, 1), 1);
	queue_event();
	config_event();
	cr_expect_eq(wire_read(&w, ISR, 1), 3);
	cr_expect_eq(wire_read(&w, ISR, 1), 0);
	config_event();
	cr_expect_eq(wire_read(&w, ISR, 2), 0, "no read of it");
	cr_expect_eq(wire_read(&w, ISR, 4), 0);
	wire_write(&w, ISR, 1, 0);
	wire_write(&w, ISR, 1, 0xff);
	cr_expect_eq(wire_read(&w, ISR, 1), 2);
}

Test(pci_interrupts, pc6_line_follows_the_isr)
{
	running(4, 0);
	cr_expect(!w.high && w.edges == 0 && !fph_pci_device_intx(&w.device));
	config_event();
	cr_expect(w.high && w.edges == 1 && fph_pci_device_intx(&w.device));
	cr_expect_eq(space(&w, 0x06, 2) & 8, 8, "Interrupt Status");
	config_event();
	queue_event();
	cr_expect(w.high && w.edges == 1);
	cr_expect_eq(wire_read(&w, ISR, 1), 3);
	cr_expect(!w.high && w.edges == 2 && !fph_pci_device_intx(&w.device));
	cr_expect_eq(space(&w, 0x06, 2) & 8, 0);
}

/* Bit 10 of the command register takes the line, not the event. */
Test(pci_interrupts, the_line_can_be_disabled)
{
	running(4, 0);
	set_space(&w, 0x04, 2, 0x400);
	config_event();
	cr_expect_not(w.high);
	cr_expect_eq(space(&w, 0x06, 2) & 8, 8, "it is pending all the same");
	set_space(&w, 0x04, 2, 0);
	cr_expect(w.high);
	set_space(&w, 0x05, 1, 4);
	cr_expect_not(w.high);
	set_space(&w, 0x05, 1, 0);
	cr_expect(w.high);
	wire_read(&w, ISR, 1);
	cr_expect_not(w.high);
}

Test(pci_interrupts, no_pin_no_line)
{
	running(4, FPH_PCI_NO_INTX);
	config_event();
	cr_expect_eq(w.edges, 0);
	cr_expect_eq(space(&w, 0x06, 2) & 8, 0);
	cr_expect_eq(wire_read(&w, ISR, 1), 2, "for who polls");
}

/* ------------------------------------------------------------ MSI-X */

static void enable_msix(uint32_t control)
{
	set_space(&w, find_cap(&w, 0x11, 0) + 2, 2, control);
}

static uint64_t table(uint32_t vector, uint32_t word)
{
	return fph_pci_device_bar_read(&w.device, 1, 16 * vector + 4 * word, 4);
}

static void set_table(uint32_t vector, uint32_t word, uint32_t value)
{
	fph_pci_device_bar_write(&w.device, 1, 16 * vector + 4 * word, 4, value);
}

static uint64_t pba(void)
{
	return fph_pci_device_bar_read(&w.device, 1, 0x800, 8);
}

Test(pci_interrupts, pc7_events_go_to_their_vectors)
{
	running(4, 0);
	wire_msix(&w);
	config_event();
	cr_expect(w.messages[0] == 1 && w.messages[1] == 0 && w.messages[2] == 0);
	cr_expect(w.address == 0xfee00000 && w.data == 0);
	queue_event();
	cr_expect(w.messages[0] == 1 && w.messages[1] == 0 && w.messages[2] == 1);
	cr_expect_eq(w.data, 2);
	cr_expect_eq(w.edges, 0, "no line with MSI-X");
	cr_expect_eq(space(&w, 0x06, 2) & 8, 0);
	/* Any event to any vector: all of them to the last. */
	SET(&w, CONFIG_VECTOR, 3);
	SET(&w, QUEUE_VECTOR, 3);
	cr_expect_eq(GET(&w, CONFIG_VECTOR), 3);
	cr_expect_eq(GET(&w, QUEUE_VECTOR), 3);
	config_event();
	queue_event();
	cr_expect(w.messages[0] == 1 && w.messages[2] == 1 && w.messages[3] == 2);
}

Test(pci_interrupts, pc7_vectors_that_are_not_there_cannot_be_mapped)
{
	static const uint32_t none[] = { 4, 5, 8, 0x100, 0x7ff, 0xfffe, 0xffff };

	running(4, 0);
	wire_msix(&w);
	for (unsigned i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		SET(&w, CONFIG_VECTOR, 1);
		SET(&w, QUEUE_VECTOR, 1);
		SET(&w, CONFIG_VECTOR, none[i]);
		SET(&w, QUEUE_VECTOR, none[i]);
		cr_expect_eq(GET(&w, CONFIG_VECTOR), FPH_PCI_NO_VECTOR, "0x%x", none[i]);
		cr_expect_eq(GET(&w, QUEUE_VECTOR), FPH_PCI_NO_VECTOR, "0x%x", none[i]);
		config_event();
		queue_event();
	}
	for (unsigned v = 0; v < 4; v++)
		cr_expect_eq(w.messages[v], 0, "no interrupt without a vector");
	cr_expect_eq(w.edges, 0);
	running(0, 0);
	cr_expect_eq(GET(&w, CONFIG_VECTOR), FPH_PCI_NO_VECTOR, "no MSI-X at all");
}

Test(pci_interrupts, pc7_all_vectors_are_unmapped_by_reset)
{
	running(4, 0);
	wire_msix(&w);
	SET(&w, STATUS, 0);
	cr_expect_eq(GET(&w, CONFIG_VECTOR), FPH_PCI_NO_VECTOR);
	for (uint32_t q = 0; q < 4; q++) {
		SET(&w, QUEUE_SELECT, q);
		cr_expect_eq(GET(&w, QUEUE_VECTOR), FPH_PCI_NO_VECTOR);
	}
	cr_expect_eq(table(1, 0), 0xfee00000, "the table is the system's, not the driver's");
}

Test(pci_interrupts, the_table_keeps_what_is_written)
{
	running(4, 0);
	for (uint32_t v = 0; v < 4; v++) {
		cr_expect_eq(table(v, 3), 1, "masked at power-on");
		set_table(v, 0, 0x11111113 + v * 0x100);
		set_table(v, 1, 0x22222222 + v);
		set_table(v, 2, 0x33333333 + v);
		set_table(v, 3, 0xfffffffe);
	}
	for (uint32_t v = 0; v < 4; v++) {
		cr_expect_eq(table(v, 0), 0x11111110 + v * 0x100, "aligned by 4");
		cr_expect_eq(table(v, 1), 0x22222222 + v);
		cr_expect_eq(table(v, 2), 0x33333333 + v);
		cr_expect_eq(table(v, 3), 0, "one bit of it is there");
	}
	/* Behind its end nothing is kept; the PBA is read-only. */
	for (uint32_t at = 16 * 4; at < FPH_PCI_BAR1_SIZE; at += 4) {
		fph_pci_device_bar_write(&w.device, 1, at, 4, UINT32_MAX);
		cr_assert_eq(fph_pci_device_bar_read(&w.device, 1, at, 4), 0, "0x%x", at);
	}
	/* By 4 or 8 bytes only. */
	fph_pci_device_bar_write(&w.device, 1, 0, 1, 0xff);
	fph_pci_device_bar_write(&w.device, 1, 0, 2, 0xffff);
	cr_expect_eq(table(0, 0), 0x11111110);
	cr_expect_eq(fph_pci_device_bar_read(&w.device, 1, 0, 2), 0);
	cr_expect_eq(fph_pci_device_bar_read(&w.device, 1, 0, 8), 0x2222222211111110);
	enable_msix(0x8000);
	config_event();
	cr_expect(w.address == 0x2222222211111110 && w.data == 0x33333333);
}

/* A masked vector keeps its message, once, and sends it when it is unmasked. */
Test(pci_interrupts, a_masked_vector_is_pending)
{
	running(4, 0);
	wire_msix(&w);
	set_table(0, 3, 1);
	config_event();
	config_event();
	queue_event();
	cr_expect(w.messages[0] == 0 && w.messages[2] == 1);
	cr_expect_eq(pba(), 1);
	set_table(0, 2, 77);
	cr_expect_eq(w.messages[0], 0);
	set_table(0, 3, 0);
	cr_expect(w.messages[0] == 1 && w.data == 77);
	cr_expect_eq(pba(), 0);
	set_table(0, 3, 0);
	cr_expect_eq(w.messages[0], 1);
}

Test(pci_interrupts, the_function_mask_holds_all_back)
{
	running(4, 0);
	wire_msix(&w);
	enable_msix(0xc000);
	config_event();
	queue_event();
	cr_expect(w.messages[0] == 0 && w.messages[2] == 0);
	cr_expect_eq(pba(), 5);
	set_table(2, 3, 1);
	enable_msix(0x8000);
	cr_expect(w.messages[0] == 1 && w.messages[2] == 0);
	cr_expect_eq(pba(), 4);
	set_table(2, 3, 0);
	cr_expect_eq(w.messages[2], 1);
	cr_expect_eq(pba(), 0);
}

Test(pci_interrupts, pc7_reset_forgets_what_is_pending)
{
	running(4, 0);
	wire_msix(&w);
	set_table(0, 3, 1);
	config_event();
	cr_expect_eq(pba(), 1);
	SET(&w, STATUS, 0);
	cr_expect_eq(pba(), 0);
	set_table(0, 3, 0);
	cr_expect_eq(w.messages[0], 0);
}

/* Off, on, off: the line takes over and gives back. */
Test(pci_interrupts, msix_and_the_line_take_turns)
{
	running(4, 0);
	config_event();
	cr_expect(w.high);
	wire_msix(&w);
	cr_expect_not(w.high);
	config_event();
	cr_expect_eq(w.messages[0], 1);
	enable_msix(0);
	cr_expect(w.high, "what nobody read");
	config_event();
	cr_expect_eq(w.messages[0], 1);
	cr_expect_eq(wire_read(&w, ISR, 1), 2);
	cr_expect_not(w.high);
}

/* vfio-user: the client has the table; what it writes here masks nothing. */
Test(pci_interrupts, a_table_that_is_kept_elsewhere_masks_nothing)
{
	running(4, FPH_PCI_MSIX_ELSEWHERE);
	config_event();
	cr_expect_eq(w.messages[0], 0, "not enabled yet");
	wire_read(&w, ISR, 1);
	enable_msix(0xc000);
	config_event();
	cr_expect(w.messages[0] == 1 && w.address == 0 && w.data == 0);
	queue_event();
	cr_expect_eq(w.messages[2], 1);
	cr_expect_eq(pba(), 0);
	SET(&w, CONFIG_VECTOR, FPH_PCI_NO_VECTOR);
	config_event();
	cr_expect_eq(w.messages[0], 1);
}

/* A VMM that polls, or has no controller. */
Test(pci_interrupts, hooks_are_optional)
{
	wire_options(&w);
	w.device_opts.msix = NULL;
	w.device_opts.intx = NULL;
	wire_device(&w);
	wire_driver(&w);
	loop_attach(&w.l);
	wire_expect_round(&w);
	config_event();
	cr_expect(fph_pci_device_intx(&w.device));
	wire_msix(&w);
	SET(&w, CONFIG_VECTOR, 0);
	config_event();
	cr_expect_not(fph_pci_device_intx(&w.device));
}
