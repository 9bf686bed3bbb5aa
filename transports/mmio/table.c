/* SPDX-License-Identifier: MIT */
#include <fph/mmio.h>

#define R  FPH_MMIO_R
#define W  FPH_MMIO_W
#define RW (FPH_MMIO_R | FPH_MMIO_W)

/* virtio 1.4, table of 4.2.2.  In order of their offsets. */
static const struct fph_mmio_register registers[] = {
	{FPH_MMIO_MAGIC, 4, R, "MagicValue"},
	{FPH_MMIO_VERSION, 4, R, "Version"},
	{FPH_MMIO_DEVICE_ID, 4, R, "DeviceID"},
	{FPH_MMIO_VENDOR_ID, 4, R, "VendorID"},
	{FPH_MMIO_DEVICE_FEATURES, 4, R, "DeviceFeatures"},
	{FPH_MMIO_DEVICE_FEATURES_SEL, 4, W, "DeviceFeaturesSel"},
	{FPH_MMIO_DRIVER_FEATURES, 4, W, "DriverFeatures"},
	{FPH_MMIO_DRIVER_FEATURES_SEL, 4, W, "DriverFeaturesSel"},
	{FPH_MMIO_QUEUE_SEL, 4, W, "QueueSel"},
	{FPH_MMIO_QUEUE_SIZE_MAX, 4, R, "QueueSizeMax"},
	{FPH_MMIO_QUEUE_SIZE, 4, W, "QueueSize"},
	{FPH_MMIO_QUEUE_READY, 4, RW, "QueueReady"},
	{FPH_MMIO_QUEUE_NOTIFY, 4, W, "QueueNotify"},
	{FPH_MMIO_INTERRUPT_STATUS, 4, R, "InterruptStatus"},
	{FPH_MMIO_INTERRUPT_ACK, 4, W, "InterruptACK"},
	{FPH_MMIO_STATUS, 4, RW, "Status"},
	{FPH_MMIO_QUEUE_DESC_LOW, 4, W, "QueueDescLow"},
	{FPH_MMIO_QUEUE_DESC_HIGH, 4, W, "QueueDescHigh"},
	{FPH_MMIO_QUEUE_DRIVER_LOW, 4, W, "QueueDriverLow"},
	{FPH_MMIO_QUEUE_DRIVER_HIGH, 4, W, "QueueDriverHigh"},
	{FPH_MMIO_QUEUE_DEVICE_LOW, 4, W, "QueueDeviceLow"},
	{FPH_MMIO_QUEUE_DEVICE_HIGH, 4, W, "QueueDeviceHigh"},
	{FPH_MMIO_SHM_SEL, 4, W, "SHMSel"},
	{FPH_MMIO_SHM_LEN_LOW, 4, R, "SHMLenLow"},
	{FPH_MMIO_SHM_LEN_HIGH, 4, R, "SHMLenHigh"},
	{FPH_MMIO_SHM_BASE_LOW, 4, R, "SHMBaseLow"},
	{FPH_MMIO_SHM_BASE_HIGH, 4, R, "SHMBaseHigh"},
	{FPH_MMIO_QUEUE_RESET, 4, RW, "QueueReset"},
	{FPH_MMIO_GENERATION, 4, R, "ConfigGeneration"},
	{FPH_MMIO_CONFIG, 0, RW, "Config"},
};

#define COUNT (sizeof(registers) / sizeof(registers[0]))

const struct fph_mmio_register *fph_mmio_register_at(uint32_t i)
{
	return i < COUNT ? &registers[i] : NULL;
}

const struct fph_mmio_register *fph_mmio_register(uint64_t offset)
{
	if (offset >= FPH_MMIO_CONFIG)
		return offset < FPH_MMIO_SIZE ? &registers[COUNT - 1] : NULL;
	for (uint32_t i = 0; i < COUNT; i++)
		if (registers[i].offset == offset)
			return &registers[i];
	return NULL;
}
