/* SPDX-License-Identifier: MIT */
#include "version.h"
#include "wire.h"
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

/* Deep enough for what peers send, and no deeper for what they might. */
#define JSON_DEPTH 8

/* A whole number from min to max; one that is not told is no error. */
static int number(struct json_object *caps, const char *key, int64_t min, int64_t max,
		  uint64_t *value)
{
	struct json_object *told;
	int64_t n;

	if (!json_object_object_get_ex(caps, key, &told))
		return 0;
	if (!json_object_is_type(told, json_type_int))
		return -EINVAL;
	n = json_object_get_int64(told);
	if (n < min || n > max)
		return -EINVAL;
	*value = (uint64_t)n;
	return 0;
}

static int capabilities(struct json_object *root, struct fph_vfio_limits *limits, const char **why)
{
	struct json_object *caps;
	uint64_t fds = limits->max_msg_fds;

	if (!json_object_object_get_ex(root, "capabilities", &caps))
		return 0;
	if (!json_object_is_type(caps, json_type_object)) {
		*why = "capabilities is no object";
		return -EINVAL;
	}
	if (number(caps, "max_msg_fds", 0, 1024, &fds) < 0)
		*why = "max_msg_fds is no number from 0 to 1024";
	else if (number(caps, "max_data_xfer_size", 0, VFIO_XFER_LIMIT,
			&limits->max_data_xfer_size) < 0)
		*why = "max_data_xfer_size is no number up to 64 MiB";
	else if (number(caps, "max_dma_maps", 1, UINT32_MAX, &limits->max_dma_maps) < 0)
		*why = "max_dma_maps is no positive number";
	else
		*why = NULL;
	limits->max_msg_fds = (uint32_t)fds;
	return *why ? -EINVAL : 0;
}

int fph_vfio_version_parse(const void *json, size_t len, struct fph_vfio_limits *limits,
			   const char **why)
{
	struct fph_vfio_limits told = *limits;
	const char *text = json;
	struct json_tokener *tokener;
	struct json_object *root;
	int rc = -EINVAL;

	*why = NULL;
	if (len == 0)
		return 0;
	if (text[len - 1] != '\0' || strlen(text) != len - 1) {
		*why = "the JSON of the version does not end with its NUL";
		return -EINVAL;
	}
	if (len == 1)
		return 0;
	tokener = json_tokener_new_ex(JSON_DEPTH);
	if (!tokener) {
		*why = "out of memory";
		return -ENOMEM;
	}
	json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
	root = json_tokener_parse_ex(tokener, text, (int)len);
	if (json_tokener_get_error(tokener) != json_tokener_success)
		*why = "the version carries no valid JSON";
	else if (!json_object_is_type(root, json_type_object))
		*why = "the JSON of the version is no object";
	else
		rc = capabilities(root, &told, why);
	json_object_put(root);
	json_tokener_free(tokener);
	if (rc == 0)
		*limits = told;
	return rc;
}

size_t fph_vfio_version_print(char *text, size_t size)
{
	int n = snprintf(text, size,
			 "{\"capabilities\":{\"max_msg_fds\":%u,\"max_data_xfer_size\":%u,"
			 "\"max_dma_maps\":%u}}",
			 VFIO_FDS_MAX, VFIO_XFER_MAX, VFIO_MAPS_MAX);

	return n >= 0 && (size_t)n < size ? (size_t)n + 1 : 0;
}
