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

test_agree_has_one_word_for_one if {
	cases := {0: "have", 1: "has", 2: "have"}
	{n: text.agree(n, "has", "have") | some n, _ in cases} == cases
}

test_some_of_says_how_many_are_left_out if {
	text.some_of(["a"], 1) == "a"
	text.some_of(["a", "b", "c"], 3) == "a, b, c"
	text.some_of(["a", "b", "c"], 4) == "a, b, c and 1 more"
	text.some_of(["a", "b", "c"], 5000) == "a, b, c and 4,997 more"
}
