package policies.lib.asn_test

import data.policies.lib.asn

test_number_reads_what_calico_reads if {
	cases := [
		[64512, 64512],
		[0, 0],
		["64512", 64512],
		["4294967295", 4294967295],
		["00065000", 65000],
		["0", 0],
		["1.10", 65546],
		["65535.65535", 4294967295],
		["0.0", 0],
	]
	[[value, number] | some [value, _] in cases; number := asn.number(value, 1)] == cases
}

test_number_is_the_default_if_calico_reads_none if {
	every value in [null, "", "x", "-1", "4294967296", "65536.1", "1.", "1.2.3", " 1", "64512 ", ["64512"], true] {
		asn.number(value, 64512) == 64512
	}
}
