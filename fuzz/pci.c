/* SPDX-License-Identifier: MIT */
/*
 * A PCI function.  An even first byte: accesses that nobody should make, against the
 * device end, with rings full of anything below and rounds in between; judged: what is
 * read-only stays, what may not be read reads 0, INTA# is where the registers say, a hint
 * is of an open round and in memory, the device writes used rings only, and an honest
 * driver end finds a working device afterwards.  An odd one: pci_function.c.
 */
#include "pci.h"
#include "formats.h"
#include <string.h>

#define MSIX 0x98u /* in the device end's space */

static struct fph_device dev;
static struct device *const d = (struct device *)(void *)&dev;
static struct fph_pci_device function;
struct fph_pci_driver pci_driver;
static struct fph_guest_slot slots[ENTRIES];
struct fph_guest pci_guest;
struct input pci_in;
static uint16_t vectors;
static bool high;

/* ------------------------------------------------------------ a hostile driver */

/* Of configuration space as it was at first: what no driver can change. */
static uint32_t fresh[FPH_PCI_CONFIG_SIZE / 4];

static uint32_t own_bits(uint32_t at)
{
	switch (at) {
	case COMMAND: /* and Interrupt Status, which is the device's */
		return 0x00080406;
	case 0x0c:
		return 0x0000ffff;
	case 0x10:
		return ~(FPH_PCI_BAR0_SIZE - 1);
	case 0x14:
		return vectors ? ~(FPH_PCI_BAR1_SIZE - 1) : 0;
	case 0x3c:
	case 0x88:
		return 0x000000ff;
	case 0x8c:
	case 0x90:
	case 0x94:
		return UINT32_MAX;
	case MSIX:
		return vectors ? 0xc0000000 : 0;
	default:
		return 0;
	}
}

static void on_interrupt(void *ctx)
{
	(void)ctx;
	fph_pci_device_interrupt(&function);
}

static void on_intx(void *ctx, bool level)
{
	(void)ctx;
	MUST(level != high);
	high = level;
}

static void on_msix(void *ctx, uint16_t vector, uint64_t address, uint32_t data)
{
	(void)ctx, (void)address, (void)data;
	MUST(vector < vectors);
}

static void make_device(void)
{
	struct fph_device_opts opts = FPH_DEVICE_OPTS_INIT;
	struct fph_pci_device_opts pci = FPH_PCI_DEVICE_OPTS_INIT;
	uint8_t bits = next8(&pci_in);

	opts.mem = memory_map(0);
	opts.queue_max = ENTRIES;
	opts.interrupt = on_interrupt;
	opts.offer = formats_of(next8(&pci_in)) | (bits & 1 ? FPH_F_RING_RESET : 0) |
		     (bits & 2 ? FPH_F_PAGE_POISON : 0) |
		     (bits & 4 ? FPH_F_PAGE_REPORTING : 0);
	MUST(fph_device_init(&dev, &opts) == 0);
	vectors = bits >> 5;
	high = false;
	pci.bus = fph_device_bus(&dev);
	pci.vectors = vectors;
	pci.flags = bits >> 3 & 3;
	pci.intx = on_intx;
	pci.msix = on_msix;
	MUST(fph_pci_device_init(&function, &pci) == 0);
	for (uint32_t at = 0; at < FPH_PCI_CONFIG_SIZE; at += 4)
		fresh[at / 4] = fph_pci_device_config_read(&function, at, 4);
}

static void put(uint32_t offset, uint32_t len, uint32_t value)
{
	fph_pci_device_bar_write(&function, 0, offset, len, value);
}

static uint32_t get(uint32_t offset, uint32_t len)
{
	return (uint32_t)fph_pci_device_bar_read(&function, 0, offset, len);
}

/* Where queue q's ring stands, unless the input says otherwise. */
static uint32_t ring_of(unsigned q)
{
	return (uint32_t)LOW_GPA + 0x400 * q;
}

static void place(unsigned q)
{
	put(SELECT, 2, q);
	put(SIZE, 2, ENTRIES);
	put(0x1a, 2, q);
	put(0x20, 4, ring_of(q));
	put(0x28, 4, ring_of(q) + 0x200);
	put(0x30, 4, ring_of(q) + 0x300);
	put(ENABLE, 2, 1);
}

static void bring_up(void)
{
	put(STATUS, 1, 0);
	put(STATUS, 1, 3);
	for (uint32_t sel = 0; sel < 2; sel++) {
		put(0x00, 4, sel);
		put(0x08, 4, sel);
		put(0x0c, 4, get(0x04, 4));
	}
	put(STATUS, 1, 0xb);
	put(0x10, 2, 0);
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		place(q);
	put(STATUS, 1, 0xf);
}

static uint64_t some_value(void)
{
	uint8_t value = next8(&pci_in);

	return value & 64 ? next64(&pci_in) : value;
}

static const uint8_t widths[] = { 1, 2, 4, 8, 0, 3, 5, 9 };

static void config_access(void)
{
	/* Where something is to be written; everything else is a byte that stays. */
	static const uint8_t telling[] = { 0x04, 0x05, 0x10, 0x14, 0x88, 0x8c, 0x90, 0x94 };
	uint8_t how = next8(&pci_in), at = next8(&pci_in);
	uint32_t offset = how & 64 ? next32(&pci_in) : how & 32 ? telling[at % 8] : at;
	uint32_t len = widths[how & 7];
	bool right = len && len <= 4 && len != 3 && offset % len == 0 &&
		     offset < FPH_PCI_CONFIG_SIZE;
	uint32_t value;

	if (how & 128) {
		fph_pci_device_config_write(&function, offset, len, (uint32_t)some_value());
		return;
	}
	value = fph_pci_device_config_read(&function, offset, len);
	if (!right)
		MUST(value == UINT32_MAX);
	else if (len < 4)
		MUST(value >> 8 * len == 0);
}

static void bar_access(void)
{
	uint8_t how = next8(&pci_in);
	uint32_t bar = how & 8 ? next8(&pci_in) % 8 : 0, len = widths[how & 7];
	uint64_t offset = how & 16 ? next16(&pci_in) :
			  how & 32 ? next64(&pci_in) :
				     next8(&pci_in) & 0x3f;
	bool right = bar < 2 && len && len != 3 && len != 5 && len != 9 && offset % len == 0;
	uint64_t value;

	if (how & 128) {
		fph_pci_device_bar_write(&function, bar, offset, len, some_value());
		return;
	}
	value = fph_pci_device_bar_read(&function, bar, offset, len);
	if (!right || offset >= (bar ? FPH_PCI_BAR1_SIZE : FPH_PCI_BAR0_SIZE))
		MUST(value == 0);
	else if (len < 8)
		MUST(value >> 8 * len == 0);
	if (right && bar == 0 && offset == ISR && len == 1)
		MUST(value <= 3 && !high);
}

static void poke(void)
{
	uint8_t what = next8(&pci_in);
	uint64_t gpa = LOW_GPA + next16(&pci_in) % LOW_LEN;

	if (what & 1)
		memory_store32(gpa, next32(&pci_in));
	else
		memory_store16(gpa, next16(&pci_in));
}

/* START and a hint at the first two descriptors, as an honest driver puts them. */
static void answer(void)
{
	uint64_t at = ring_of(FPH_QUEUE_HINT), word = LOW_GPA + 0x1800;

	memory_store32(word, fph_device_command(&dev));
	memory_store64(at, word);
	memory_store64(at + 8, 4);
	memory_store64(at + 16, FAR_GPA + 0x1000u * next8(&pci_in));
	memory_store64(at + 24, 0x1000 | UINT64_C(2) << 32);
	memory_store32(at + 0x204, 0x10000);
	memory_store16(at + 0x202, 2);
	put(FPH_PCI_NOTIFY + FPH_QUEUE_HINT * FPH_PCI_NOTIFY_MUL, 2, FPH_QUEUE_HINT);
}

static void poll(void)
{
	struct fph_range out[8];
	int n = fph_device_poll(&dev, out, 1 + next8(&pci_in) % 8);

	if (n > 0)
		MUST(fph_device_command(&dev) >= FPH_COMMAND_FIRST);
	for (int i = 0; i < n; i++) {
		struct fph_range rest = out[i], piece;

		MUST(out[i].len > 0 && fph_mem_piece(d->mem, &rest, &piece) >= 0);
		MUST(piece.gpa == out[i].gpa && piece.len == out[i].len);
	}
}

static void device_step(uint8_t op)
{
	switch (op % 20) {
	case 0:
		bring_up();
		break;
	case 1:
		fph_device_start(&dev);
		break;
	case 2:
		fph_device_start(&dev);
		answer();
		break;
	case 3:
		poll();
		break;
	case 4:
		fph_device_stop(&dev);
		MUST(fph_device_command(&dev) < FPH_COMMAND_FIRST);
		break;
	case 5:
		fph_device_ack(&dev);
		break;
	case 6:
		fph_device_done(&dev);
		break;
	case 7:
		place(next8(&pci_in) % 8);
		break;
	case 8:
		fph_pci_device_notify(&function,
				      next8(&pci_in) & 0x80 ? next16(&pci_in) : FPH_QUEUE_HINT);
		break;
	case 9:
		fph_device_set_mem(&dev, memory_map(next8(&pci_in)));
		break;
	case 10:
		poke();
		break;
	case 11: /* MSI-X on or off, masked or not */
		fph_pci_device_config_write(&function, MSIX + 2, 2, (uint32_t)next8(&pci_in) << 8);
		break;
	case 12:
		fph_pci_device_bar_write(&function, 1, next8(&pci_in) & 0xfc, 4, some_value());
		break;
	case 13:
		if (next8(&pci_in) == 0)
			fph_pci_device_reset(&function);
		break;
	case 14:
	case 15:
		config_access();
		break;
	default:
		bar_access();
	}
}

static void judge_function(void)
{
	uint32_t command = fph_pci_device_config_read(&function, COMMAND, 4);
	uint32_t msix = fph_pci_device_config_read(&function, MSIX + 2, 2);

	MUST(high == fph_pci_device_intx(&function));
	MUST(!high || !(command & 0x400));
	MUST(!high || (command & 0x80000));
	MUST(!high || !vectors || !(msix & 0x8000));
	for (uint32_t at = 0; at < FPH_PCI_CONFIG_SIZE; at += 4)
		if (at != 0x94) /* a look at the window's data is one at a BAR */
			MUST(!((fph_pci_device_config_read(&function, at, 4) ^ fresh[at / 4]) &
			       ~own_bits(at)));
}

static int to_config_read(void *ctx, uint32_t offset, uint32_t len, uint32_t *value)
{
	(void)ctx;
	*value = fph_pci_device_config_read(&function, offset, len);
	return 0;
}

static int to_config_write(void *ctx, uint32_t offset, uint32_t len, uint32_t value)
{
	(void)ctx;
	fph_pci_device_config_write(&function, offset, len, value);
	return 0;
}

static int to_bar_read(void *ctx, uint32_t bar, uint64_t offset, uint32_t len, uint32_t *value)
{
	(void)ctx;
	*value = (uint32_t)fph_pci_device_bar_read(&function, bar, offset, len);
	return 0;
}

static int to_bar_write(void *ctx, uint32_t bar, uint64_t offset, uint32_t len, uint32_t value)
{
	(void)ctx;
	fph_pci_device_bar_write(&function, bar, offset, len, value);
	return 0;
}

int pci_make_guest(struct fph_pci_driver_opts *pci)
{
	struct fph_guest_opts opts = FPH_GUEST_OPTS_INIT;
	int rc;

	pci->tries = 4;
	rc = fph_pci_driver_init(&pci_driver, pci);
	if (rc < 0)
		return rc;
	opts.bus = fph_pci_driver_bus(&pci_driver);
	opts.ring = (struct fph_region){ LOW_GPA, LOW_LEN, memory_map(0)->regions[LOW].hva, 0 };
	opts.slots = slots;
	opts.ring_size = ENTRIES;
	MUST(fph_guest_init(&pci_guest, &opts) == 0);
	return 0;
}

static void recover(void)
{
	struct fph_pci_driver_opts pci = FPH_PCI_DRIVER_OPTS_INIT;
	struct fph_range hint = { FAR_GPA, 0x1000 }, out[4];

	pci.config_read = to_config_read;
	pci.config_write = to_config_write;
	pci.bar_read = to_bar_read;
	pci.bar_write = to_bar_write;
	fph_device_ack(&dev);
	put(STATUS, 1, 0);
	MUST(get(STATUS, 1) == 0 && get(ISR, 1) == 0 && !high);
	MUST(fph_device_set_mem(&dev, memory_map(0)) == 0);
	memory_reset();
	MUST(pci_make_guest(&pci) == 0);
	MUST(fph_guest_attach(&pci_guest) == 0);
	MUST(fph_device_start(&dev) == 0);
	MUST(fph_guest_step(&pci_guest, 0) & FPH_GUEST_FEED);
	MUST(fph_guest_hint(&pci_guest, &hint, 1) == 1 && fph_guest_flush(&pci_guest) == 0);
	MUST(fph_device_poll(&dev, out, 4) == 1 && out[0].gpa == FAR_GPA);
	MUST(fph_device_done(&dev) == 0);
	MUST(fph_guest_step(&pci_guest, 0) & FPH_GUEST_RELEASE);
	MUST(fph_guest_reclaim(&pci_guest, out, 4) == 1 && fph_guest_held(&pci_guest) == 0);
}

static void hostile_driver(void)
{
	make_device();
	for (int i = 0; i < OPS_MAX && pci_in.left > 0; i++) {
		struct fph_vq_dev before[FPH_QUEUE_COUNT];

		memcpy(before, d->vq, sizeof(before));
		device_step(next8(&pci_in));
		judge_function();
		allow_rings(before);
		allow_rings(d->vq);
		if (i % CHECK_EVERY == CHECK_EVERY - 1)
			memory_check();
	}
	memory_check();
	recover();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t how;

	pci_in = (struct input){ data, size };
	memory_reset();
	how = next8(&pci_in);
	if (how & 1)
		pci_hostile_function(how);
	else
		hostile_driver();
	return 0;
}
