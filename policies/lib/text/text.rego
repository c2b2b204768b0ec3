# METADATA
# title: Text for messages
# description: Numbers, counted nouns and shortened lists in the messages of policies.
package policies.lib.text

# METADATA
# description: A whole number with its digits in groups of three, "7,140".
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
# description: A number and a noun whose plural ends in s, "1 node" or "1,200 nodes".
# scope: document
counted(1, noun) := sprintf("1 %s", [noun])

counted(n, noun) := sprintf("%s %ss", [number(n), noun]) if n != 1

# METADATA
# description: The first three of some names and how many of the total are not shown, "a, b, c and 2 more".
list(names, total) := concat(" and ", array.concat(
	[concat(", ", shown)],
	[sprintf("%s more", [number(total - count(shown))]) | total > count(shown)],
)) if {
	shown := array.slice(names, 0, 3)
}

# METADATA
# description: A counted noun and names, "5 nodes (a, b, c and 2 more)".
listed(n, noun, names) := sprintf("%s (%s)", [counted(n, noun), list(names, n)])

# METADATA
# description: A part of a counted noun and its names, "5 of 120 nodes (a, b, c and 2 more)".
listed_of(n, total, noun, names) := sprintf("%s of %s (%s)", [number(n), counted(total, noun), list(names, n)])
