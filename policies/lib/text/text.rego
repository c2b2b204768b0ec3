# METADATA
# title: Words for messages
# description: Numbers, counted things and shortened lists, as people read them.
package policies.lib.text

# METADATA
# description: The digits of a whole number in groups of three, "7,140".
number(n) := strings.reverse(trim_suffix(groups, ",")) if {
	groups := regex.replace(strings.reverse(format_int(n, 10)), `([0-9]{3})`, "$1,")
}

# METADATA
# description: So many of a thing whose plural ends in s, "1 node" or "1,200 nodes".
# scope: document
counted(1, noun) := concat(" ", ["1", noun])

counted(n, noun) := sprintf("%s %ss", [number(n), noun]) if n != 1

# METADATA
# description: The names that are given of so many in all, "a, b and 5 more".
# scope: document
some_of(names, total) := concat(", ", names) if count(names) >= total

some_of(names, total) := sprintf("%s and %s more", [concat(", ", names), number(total - count(names))]) if {
	count(names) < total
}
