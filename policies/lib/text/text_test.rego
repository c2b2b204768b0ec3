package policies.lib.text_test

import data.policies.lib.text

test_number_groups_digits_by_three if {
	cases := {
		0: "0",
		7: "7",
		100: "100",
		1000: "1,000",
		7140: "7,140",
		100000: "100,000",
		1234567: "1,234,567",
		49995000: "49,995,000",
		1249975000: "1,249,975,000",
	}
	{n: text.number(n) | some n, _ in cases} == cases
}

test_counted_knows_singular_and_plural if {
	cases := {0: "0 nodes", 1: "1 node", 2: "2 nodes", 1200: "1,200 nodes"}
	{n: text.counted(n, "node") | some n, _ in cases} == cases
}

test_list_counts_the_names_that_it_does_not_show if {
	text.list(["a"], 1) == "a"
	text.list(["a", "b", "c"], 3) == "a, b, c"
	text.list(["a", "b", "c"], 4) == "a, b, c and 1 more"
	text.list(["a", "b", "c"], 5000) == "a, b, c and 4,997 more"
	text.list(["a"], 5) == "a and 4 more"
	text.list(["a", "b", "c", "d", "e"], 5) == "a, b, c and 2 more"
}

test_listed_has_the_number_before_the_names if {
	text.listed(1, "node", ["a"]) == "1 node (a)"
	text.listed(1200, "node", ["a", "b", "c"]) == "1,200 nodes (a, b, c and 1,197 more)"
}

test_listed_of_has_the_total_too if {
	text.listed_of(1, 1, "node", ["a"]) == "1 of 1 node (a)"
	text.listed_of(4, 5000, "node", ["a", "b", "c"]) == "4 of 5,000 nodes (a, b, c and 1 more)"
}
