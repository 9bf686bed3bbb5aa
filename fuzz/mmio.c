/* SPDX-License-Identifier: MIT */
/*
 * Registers.  An even first byte: accesses that nobody should make, against the device
 * end, with rings full of anything below and rounds in between; judged: what may not be
 * read reads 0, a hint is of an open round and in memory, the device writes used rings
 * only, and an honest driver end finds a working device afterwards.  An odd one:
 * registers that answer anything, against the driver end and a guest; judged: every verb
 * ends after a bounded number of accesses, and every access is one of the documented.
 */
#include "formats.h"
#include <errno.h>
#include <fph/guest.h>
#include <fph/mmio.h>
#include <string.h>

#define OPS_MAX 300
#define ENTRIES 16u
#define TRIES	4u

static struct fph_device dev;
static struct device *const d = (struct device *)(void *)&dev;
static struct fph_mmio_device registers;
static struct fph_mmio_driver driver;
static struct fph_guest guest;
static struct fph_guest_slot slots[ENTRIES];
static struct input in;
static unsigned accesses; /* of the driver end, in this step */

/* ------------------------------------------------------------ a hostile driver */

static void on_interrupt(void *ctx)
{
	(void)ctx;
	fph_mmio_device_interrupt(&registers);
}

static void make_device(void)
{
	struct fph_device_opts opts = FPH_DEVICE_OPTS_INIT;
	struct fph_mmio_device_opts mmio = FPH_MMIO_DEVICE_OPTS_INIT;
	uint8_t bits = next8(&in);

	opts.mem = memory_map(0);
	opts.queue_max = ENTRIES;
	opts.interrupt = on_interrupt;
	opts.offer = formats_of(next8(&in)) | (bits & 1 ? FPH_F_RING_RESET : 0) |
		     (bits & 2 ? FPH_F_PAGE_POISON : 0) |
		     (bits & 4 ? FPH_F_PAGE_REPORTING : 0);
	MUST(fph_device_init(&dev, &opts) == 0);
	mmio.bus = fph_device_bus(&dev);
	MUST(fph_mmio_device_init(&registers, &mmio) == 0);
}

static void put(uint32_t offset, uint32_t value)
{
	fph_mmio_device_write(&registers, offset, 4, value);
}

/* Where queue q's ring stands, unless the input says otherwise. */
static uint32_t ring_of(unsigned q)
{
	return (uint32_t)LOW_GPA + 0x400 * q;
}

static void place(unsigned q)
{
	put(FPH_MMIO_QUEUE_SEL, q);
	put(FPH_MMIO_QUEUE_SIZE, ENTRIES);
	put(FPH_MMIO_QUEUE_DESC_LOW, ring_of(q));
	put(FPH_MMIO_QUEUE_DRIVER_LOW, ring_of(q) + 0x200);
	put(FPH_MMIO_QUEUE_DEVICE_LOW, ring_of(q) + 0x300);
	put(FPH_MMIO_QUEUE_READY, 1);
}

static void bring_up(void)
{
	put(FPH_MMIO_STATUS, 0);
	put(FPH_MMIO_STATUS, 3);
	for (uint32_t sel = 0; sel < 2; sel++) {
		put(FPH_MMIO_DEVICE_FEATURES_SEL, sel);
		put(FPH_MMIO_DRIVER_FEATURES_SEL, sel);
		put(FPH_MMIO_DRIVER_FEATURES,
		    (uint32_t)fph_mmio_device_read(&registers, FPH_MMIO_DEVICE_FEATURES, 4));
	}
	put(FPH_MMIO_STATUS, 0xb);
	for (unsigned q = 0; q < FPH_QUEUE_COUNT; q++)
		place(q);
	put(FPH_MMIO_STATUS, 0xf);
}

static void any_access(void)
{
	uint8_t how = next8(&in);
	const struct fph_mmio_register *reg = fph_mmio_register_at(how & 31);
	uint64_t offset = reg ? reg->offset + (how & 64 ? next8(&in) : 0u) : next64(&in);
	uint32_t len = how & 32 ? next8(&in) % 10 : 4;
	uint64_t value;

	if (how & 128) {
		value = next8(&in);
		fph_mmio_device_write(&registers, offset, len,
				      value & 64 ? next64(&in) : value);
		return;
	}
	value = fph_mmio_device_read(&registers, offset, len);
	reg = fph_mmio_register(offset);
	if (offset < FPH_MMIO_CONFIG && (!reg || len != 4 || !(reg->access & FPH_MMIO_R)))
		MUST(value == 0);
	if (offset == FPH_MMIO_INTERRUPT_STATUS && len == 4)
		MUST(value <= 3 && value == fph_mmio_device_pending(&registers));
}

static void poke(void)
{
	uint8_t what = next8(&in);
	uint64_t gpa = LOW_GPA + next16(&in) % LOW_LEN;

	if (what & 1)
		memory_store32(gpa, next32(&in));
	else
		memory_store16(gpa, next16(&in));
}

/* START and a hint at the first two descriptors, as an honest driver puts them. */
static void answer(void)
{
	uint64_t at = ring_of(FPH_QUEUE_HINT), word = LOW_GPA + 0x1800;

	memory_store32(word, fph_device_command(&dev));
	memory_store64(at, word);
	memory_store64(at + 8, 4);
	memory_store64(at + 16, FAR_GPA + 0x1000u * next8(&in));
	memory_store64(at + 24, 0x1000 | UINT64_C(2) << 32);
	memory_store32(at + 0x204, 0x10000);
	memory_store16(at + 0x202, 2);
	put(FPH_MMIO_QUEUE_NOTIFY, FPH_QUEUE_HINT);
}

static void poll(void)
{
	struct fph_range out[8];
	int n = fph_device_poll(&dev, out, 1 + next8(&in) % 8);

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
	switch (op % 16) {
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
		place(next8(&in) % 8);
		break;
	case 8:
		fph_mmio_device_notify(&registers,
				       next8(&in) & 0x80 ? next16(&in) : FPH_QUEUE_HINT);
		break;
	case 9:
		fph_device_set_mem(&dev, memory_map(next8(&in)));
		break;
	case 10:
		poke();
		break;
	default:
		any_access();
	}
}

static int to_device_read(void *ctx, uint32_t offset, uint32_t *value)
{
	(void)ctx;
	*value = (uint32_t)fph_mmio_device_read(&registers, offset, 4);
	return 0;
}

static int to_device_write(void *ctx, uint32_t offset, uint32_t value)
{
	(void)ctx;
	put(offset, value);
	return 0;
}

static int make_guest(int (*read)(void *, uint32_t, uint32_t *),
		      int (*write)(void *, uint32_t, uint32_t))
{
	struct fph_mmio_driver_opts mmio = FPH_MMIO_DRIVER_OPTS_INIT;
	struct fph_guest_opts opts = FPH_GUEST_OPTS_INIT;
	int rc;

	mmio.read = read;
	mmio.write = write;
	mmio.tries = TRIES;
	rc = fph_mmio_driver_init(&driver, &mmio);
	if (rc < 0)
		return rc;
	opts.bus = fph_mmio_driver_bus(&driver);
	opts.ring = (struct fph_region){LOW_GPA, LOW_LEN, memory_map(0)->regions[LOW].hva, 0};
	opts.slots = slots;
	opts.ring_size = ENTRIES;
	MUST(fph_guest_init(&guest, &opts) == 0);
	return 0;
}

static void recover(void)
{
	struct fph_range hint = {FAR_GPA, 0x1000}, out[4];

	fph_device_ack(&dev);
	put(FPH_MMIO_STATUS, 0);
	MUST(fph_mmio_device_read(&registers, FPH_MMIO_STATUS, 4) == 0);
	MUST(fph_mmio_device_pending(&registers) == 0);
	MUST(fph_device_set_mem(&dev, memory_map(0)) == 0);
	memory_reset();
	MUST(make_guest(to_device_read, to_device_write) == 0);
	MUST(fph_guest_attach(&guest) == 0);
	MUST(fph_device_start(&dev) == 0);
	MUST(fph_guest_step(&guest, 0) & FPH_GUEST_FEED);
	MUST(fph_guest_hint(&guest, &hint, 1) == 1 && fph_guest_flush(&guest) == 0);
	MUST(fph_device_poll(&dev, out, 4) == 1 && out[0].gpa == FAR_GPA);
	MUST(fph_device_done(&dev) == 0);
	MUST(fph_guest_step(&guest, 0) & FPH_GUEST_RELEASE);
	MUST(fph_guest_reclaim(&guest, out, 4) == 1 && fph_guest_held(&guest) == 0);
}

static void hostile_driver(void)
{
	make_device();
	for (int i = 0; i < OPS_MAX && in.left > 0; i++) {
		struct fph_vq_dev before[FPH_QUEUE_COUNT];

		memcpy(before, d->vq, sizeof(before));
		device_step(next8(&in));
		allow_rings(before);
		allow_rings(d->vq);
		if (i % CHECK_EVERY == CHECK_EVERY - 1)
			memory_check();
	}
	memory_check();
	recover();
}

/* ------------------------------------------------------------ hostile registers */

static void judge_access(uint32_t offset, uint8_t access)
{
	const struct fph_mmio_register *reg = fph_mmio_register(offset);

	MUST(reg && (reg->access & access) && offset % 4 == 0);
	MUST(++accesses < 200);
}

/* What registers hold that only store, and so what an honest answer is. */
static uint32_t file[FPH_MMIO_SIZE / 4];

static int any_read(void *ctx, uint32_t offset, uint32_t *value)
{
	uint8_t how = next8(&in);

	(void)ctx;
	judge_access(offset, FPH_MMIO_R);
	*value = file[offset / 4];
	if (how % 8 == 7)
		*value = how & 8 ? next32(&in) : next8(&in);
	return how >= 0xfc ? -EIO : 0;
}

static int any_write(void *ctx, uint32_t offset, uint32_t value)
{
	uint8_t how = next8(&in);

	(void)ctx;
	judge_access(offset, FPH_MMIO_W);
	if (how % 16 != 15)
		file[offset / 4] = value;
	/* A queue that was reset is not ready. */
	if (offset == FPH_MMIO_STATUS && value == 0)
		file[FPH_MMIO_QUEUE_READY / 4] = 0;
	if (offset == FPH_MMIO_QUEUE_SEL)
		file[FPH_MMIO_QUEUE_READY / 4] = 0;
	return how >= 0xfc ? -EIO : 0;
}

static void guest_step(uint8_t op)
{
	struct fph_range hint = {FAR_GPA + 0x1000u * (op / 8), 0x1000}, out[4];

	accesses = 0;
	switch (op % 10) {
	case 0:
		fph_guest_attach(&guest);
		break;
	case 8: /* an id, and an interrupt that says so */
		file[(FPH_MMIO_CONFIG + FPH_CONFIG_COMMAND_ID) / 4] = next8(&in);
		file[FPH_MMIO_INTERRUPT_STATUS / 4] = 3;
		fph_guest_step(&guest, op);
		break;
	case 9: /* the device returns what it likes */
		memory_store16(LOW_GPA + 16 * ENTRIES + 6 + 2 * ENTRIES + 2 + 2, next8(&in));
		fph_guest_step(&guest, op);
		break;
	case 1:
		fph_guest_reset(&guest);
		break;
	case 2:
	case 3:
		fph_guest_step(&guest, op);
		break;
	case 4:
		fph_guest_hint(&guest, &hint, 1);
		break;
	case 5:
		fph_guest_flush(&guest);
		break;
	case 6:
		fph_guest_end(&guest);
		break;
	default:
		fph_guest_reclaim(&guest, out, 4);
	}
}

static void hostile_registers(void)
{
	accesses = 0;
	memset(file, 0, sizeof(file));
	file[FPH_MMIO_MAGIC / 4] = FPH_MMIO_MAGIC_VALUE;
	file[FPH_MMIO_VERSION / 4] = FPH_MMIO_VERSION_VALUE;
	file[FPH_MMIO_DEVICE_ID / 4] = FPH_DEVICE_ID;
	file[FPH_MMIO_DEVICE_FEATURES / 4] = 0xb;
	file[FPH_MMIO_QUEUE_SIZE_MAX / 4] = ENTRIES;
	if (make_guest(any_read, any_write) < 0)
		return;
	for (int i = 0; i < OPS_MAX && in.left > 0; i++)
		guest_step(next8(&in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	in = (struct input){data, size};
	memory_reset();
	if (next8(&in) & 1)
		hostile_registers();
	else
		hostile_driver();
	return 0;
}
