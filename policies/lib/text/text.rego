# METADATA
# title: Words for messages
# description: Numbers, counted things and shortened lists, as people read them.
package policies.lib.text

# METADATA
# description: The digits of a whole number in groups of three, "7,140".
# scope: document
number(n) := sprintf("%d", [n]) if n < 1000

number(n) := sprintf("%d,%03d", [floor(n / 1000), n % 1000]) if {
	n >= 1000
	n < 1000000
}

number(n) := sprintf("%d,%03d,%03d", [floor(n / 1000000), floor(n / 1000) % 1000, n % 1000]) if {
	n >= 1000000
	n < 1000000000
}

number(n) := sprintf("%d,%03d,%03d,%03d", [
	floor(n / 1000000000),
	floor(n / 1000000) % 1000,
	floor(n / 1000) % 1000,
	n % 1000,
]) if {
	n >= 1000000000
}

# METADATA
# description: The word that goes with so many, the first with one and the second with all else.
# scope: document
agree(1, one, _) := one

agree(n, _, many) := many if n != 1

# METADATA
# description: So many of a thing whose plural ends in s, "1 node" or "1,200 nodes".
counted(n, noun) := sprintf("%s %s", [number(n), agree(n, noun, sprintf("%ss", [noun]))])

# METADATA
# description: The names that are given of so many in all, "a, b and 5 more".
# scope: document
some_of(names, total) := concat(", ", names) if count(names) >= total

some_of(names, total) := sprintf("%s and %s more", [concat(", ", names), number(total - count(names))]) if {
	count(names) < total
}

# METADATA
# description: The first three of all names, "a, b, c and 2 more".
first_of(names) := some_of(array.slice(names, 0, 3), count(names))
