# METADATA
# title: Text
# description: Numbers and lists as messages write them.
package policies.lib.text

# METADATA
# title: number
# description: A whole number with commas between thousands, for example 7,140.
number(n) := s if {
	n < 1000
	s := sprintf("%d", [n])
}

number(n) := s if {
	n >= 1000
	n < 1000000
	s := sprintf("%d,%03d", [floor(n / 1000), n % 1000])
}

number(n) := s if {
	n >= 1000000
	s := sprintf("%d,%03d,%03d", [floor(n / 1000000), floor(n / 1000) % 1000, n % 1000])
}

# METADATA
# title: counted
# description: A number and its noun, for example "1 node" or "3 nodes".
counted(n, noun) := concat(" ", [number(n), plural(n, noun)])

# METADATA
# title: plural
# description: The noun as it follows the number n.
plural(n, noun) := noun if n == 1

plural(n, noun) := concat("", [noun, "s"]) if n != 1

# METADATA
# title: sample
# description: The first names of a list of total, for example "a, b and 7 more".
sample(names, total) := concat(", ", names) if total <= count(names)

sample(names, total) := sprintf("%s and %s more", [
	concat(", ", names),
	number(total - count(names)),
]) if {
	total > count(names)
}
