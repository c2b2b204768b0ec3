# METADATA
# title: AS numbers
# description: |
#   AS numbers in the formats that Calico reads: a number, a string such as "64512", or two
#   halves of 16 bits such as "1.10".
package policies.lib.asn

# METADATA
# description: The AS number in a value, or a default if the value is not an AS number.
# scope: document
number(value, _) := value if is_number(value)

number(value, preset) := to_number(_plain(value)) if {
	_is_plain(value)
	to_number(_plain(value)) <= 4294967295
} else := (to_number(_plain(halves[0])) * 65536) + to_number(_plain(halves[1])) if {
	is_string(value)
	halves := split(value, ".")
	count(halves) == 2
	every half in halves {
		_is_plain(half)
		to_number(_plain(half)) <= 65535
	}
} else := preset if {
	not is_number(value)
}

_is_plain(text) if {
	is_string(text)
	regex.match(`^[0-9]{1,10}$`, text)
}

# JSON numbers have no leading zeros.
_plain(digits) := regex.replace(digits, `^0+([0-9])`, `$1`)
