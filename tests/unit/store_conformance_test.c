/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "conformance/conformance.h"

int main(void)
{
	return store_conformance("sqlite:", true, false) + queue_conformance("sqlite:", true, false) +
	       store_conformance("memory:", false, true) + queue_conformance("memory:", false, true) +
	       store_conformance("sqlite:", true, true) + queue_conformance("sqlite:", true, true);
}
