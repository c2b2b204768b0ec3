package policies.lib.window_test

import data.policies.lib.window

test_a_window_is_open_from_its_start_until_its_end if {
	nightly := [{"schedule": "0 22 * * 1-5", "duration": "6h", "timeZone": "UTC"}]
	_open(nightly, [
		"2026-11-24T21:59:59Z", "2026-11-24T22:00:00Z", "2026-11-25T03:59:59Z", "2026-11-25T04:00:00Z",
		"2026-11-28T03:59:59Z", "2026-11-28T22:30:00Z", "2026-11-29T03:00:00Z", "2026-11-30T03:00:00Z",
	]) == {
		"2026-11-24T22:00:00Z", # Tuesday
		"2026-11-25T03:59:59Z",
		"2026-11-28T03:59:59Z", # the end of Friday's
	}
}

test_a_window_goes_over_the_end_of_a_month_and_a_year if {
	_open([{"schedule": "30 23 31 12 *", "duration": "1h"}], [
		"2026-12-31T23:29:59Z", "2026-12-31T23:30:00Z", "2027-01-01T00:29:59Z",
		"2027-01-01T00:30:00Z", "2026-12-01T23:45:00Z",
	]) == {
		"2026-12-31T23:30:00Z",
		"2027-01-01T00:29:59Z",
	}
	_open([{"schedule": "0 23 28 2 *", "duration": "2h"}], [
		"2027-03-01T00:59:00Z", "2027-03-01T01:00:00Z",
		"2028-03-01T00:59:00Z",
	]) == {"2027-03-01T00:59:00Z"}
}

test_a_window_of_a_week_is_open_for_a_week if {
	_open([{"schedule": "0 12 1 * *", "duration": "168h"}], [
		"2026-11-01T11:59:59Z", "2026-11-01T12:00:00Z",
		"2026-11-08T11:59:59Z", "2026-11-08T12:00:00Z",
	]) == {
		"2026-11-01T12:00:00Z",
		"2026-11-08T11:59:59Z",
	}
}

test_starts_of_the_day_before_do_not_hide_those_of_the_day if {
	twice := [{"schedule": "0 2,14 * * *", "duration": "1h"}]
	_open(twice, [
		"2026-11-24T01:59:00Z", "2026-11-24T02:30:00Z", "2026-11-24T03:00:00Z",
		"2026-11-24T14:30:00Z", "2026-11-24T15:00:00Z",
	]) == {"2026-11-24T02:30:00Z", "2026-11-24T14:30:00Z"}
}

test_lists_ranges_steps_and_names if {
	cases := {
		"*/20 * * * *": ["2026-11-24T05:00:00Z", "2026-11-24T05:20:00Z", "2026-11-24T05:40:00Z"],
		"5/25 * * * *": ["2026-11-24T05:05:00Z", "2026-11-24T05:30:00Z", "2026-11-24T05:55:00Z"],
		"10-12 5 * * *": ["2026-11-24T05:10:00Z", "2026-11-24T05:11:00Z", "2026-11-24T05:12:00Z"],
		"10-30/10,59 05 * * *": [
			"2026-11-24T05:10:00Z", "2026-11-24T05:20:00Z",
			"2026-11-24T05:30:00Z", "2026-11-24T05:59:00Z",
		],
		"08 5 24 nov tue": ["2026-11-24T05:08:00Z"],
		"8 5 * OCT-Dec mon,Tue": ["2026-11-24T05:08:00Z"],
		"8 5 * * 3": [],
		"8 5 * 1-10 *": [],
	}
	{schedule: starts |
		some schedule, _ in cases
		starts := [at |
			some at in _minutes_of_five
			window.open([{"schedule": schedule, "duration": "1m"}], time.parse_rfc3339_ns(at))
		]
	} == cases
}

test_the_seventh_day_of_the_week_is_sunday if {
	every days in ["7", "0", "sun", "5-7"] {
		_open([{"schedule": sprintf("0 0 * * %s", [days]), "duration": "24h"}], [
			"2026-11-29T12:00:00Z",
			"2026-11-30T12:00:00Z",
		]) == {"2026-11-29T12:00:00Z"}
	}
}

test_a_restricted_day_of_month_or_day_of_week_counts if {
	# The 13th, and every Friday.
	days := ["2026-11-13T12:00:00Z", "2026-11-20T12:00:00Z", "2026-11-12T12:00:00Z", "2026-12-13T12:00:00Z"]
	_open([{"schedule": "0 0 13 * fri", "duration": "24h"}], days) == {
		"2026-11-13T12:00:00Z",
		"2026-11-20T12:00:00Z",
		"2026-12-13T12:00:00Z",
	}
	_open([{"schedule": "0 0 13 * *", "duration": "24h"}], days) == {
		"2026-11-13T12:00:00Z",
		"2026-12-13T12:00:00Z",
	}
	_open([{"schedule": "0 0 */1 * fri", "duration": "24h"}], days) == {
		"2026-11-13T12:00:00Z",
		"2026-11-20T12:00:00Z",
	}

	# Odd days, or Mondays: a step restricts.
	_open([{"schedule": "0 0 */2 * mon", "duration": "24h"}], [
		"2026-11-13T12:00:00Z", "2026-11-14T12:00:00Z",
		"2026-11-16T12:00:00Z",
	]) == {
		"2026-11-13T12:00:00Z",
		"2026-11-16T12:00:00Z",
	}
}

test_the_clock_of_the_time_zone_counts if {
	nightly := [{"schedule": "0 22 * * *", "duration": "2h", "timeZone": "Europe/Berlin"}]
	_open(nightly, [
		"2026-11-24T20:59:00Z", "2026-11-24T21:00:00Z", "2026-11-24T23:00:00Z",
		"2026-07-01T20:00:00Z", "2026-07-01T22:00:00Z",
	]) == {
		"2026-11-24T21:00:00Z", # winter, one hour ahead
		"2026-07-01T20:00:00Z", # summer, two
	}
	_open([{"schedule": "0 0 25 11 *", "duration": "1h", "timeZone": "Pacific/Auckland"}], [
		"2026-11-24T11:30:00Z",
		"2026-11-25T00:30:00Z",
	]) == {"2026-11-24T11:30:00Z"}
	_open([{"schedule": "0 6 * * *", "duration": "1h", "timeZone": "Asia/Kolkata"}], [
		"2026-11-24T00:29:00Z", "2026-11-24T00:30:00Z",
		"2026-11-24T01:30:00Z",
	]) == {"2026-11-24T00:30:00Z"}
}

# On 2026-03-29 the clock in Berlin goes from 02:00 to 03:00, at 01:00 UTC.
test_when_the_clock_is_put_forward if {
	_open([{"schedule": "0 22 * * *", "duration": "6h", "timeZone": "Europe/Berlin"}], [
		"2026-03-29T00:59:00Z", "2026-03-29T01:59:00Z",
		"2026-03-29T02:00:00Z",
	]) == {
		"2026-03-29T00:59:00Z",
		"2026-03-29T01:59:00Z", # 03:59
	}
	night := ["2026-03-29T00:59:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:29:00Z", "2026-03-29T01:59:00Z"]
	_open([{"schedule": "30 2 * * *", "duration": "1h", "timeZone": "Europe/Berlin"}], night) == {
		"2026-03-29T01:00:00Z", # 03:00, as 02:30 would have been half an hour ago
		"2026-03-29T01:29:00Z",
	}
	_open([{"schedule": "0 2 * * *", "duration": "1h", "timeZone": "Europe/Berlin"}], night) == set()
}

# On 2026-10-25 the clock in Berlin goes from 03:00 to 02:00, at 01:00 UTC.
test_when_the_clock_is_put_back if {
	_open([{"schedule": "0 22 * * *", "duration": "6h", "timeZone": "Europe/Berlin"}], [
		"2026-10-24T20:00:00Z", "2026-10-25T02:59:00Z",
		"2026-10-25T03:00:00Z",
	]) == {
		"2026-10-24T20:00:00Z",
		"2026-10-25T02:59:00Z", # 03:59
	}
	_open([{"schedule": "30 2 * * *", "duration": "15m", "timeZone": "Europe/Berlin"}], [
		"2026-10-25T00:30:00Z", "2026-10-25T00:50:00Z", "2026-10-25T01:30:00Z",
		"2026-10-25T01:45:00Z",
	]) == {
		"2026-10-25T00:30:00Z", # 02:30 for the first
		"2026-10-25T01:30:00Z", # and for the second time
	}
}

test_the_next_opening_is_in_the_window_s_time_zone if {
	nightly := {"schedule": "0 22 * * 1-5", "duration": "6h", "timeZone": "Europe/Berlin"}
	weekly := {"schedule": "30 8,9 * * sat", "duration": "1h"}
	cases := {
		"2026-11-24T12:00:00Z": "Tue 2026-11-24 22:00 Europe/Berlin",
		"2026-11-24T20:59:59Z": "Tue 2026-11-24 22:00 Europe/Berlin",
		"2026-11-24T21:00:00Z": "Wed 2026-11-25 22:00 Europe/Berlin",
		"2026-11-27T23:00:00Z": "Sat 2026-11-28 08:30 UTC",
		"2026-11-28T08:10:00Z": "Sat 2026-11-28 08:30 UTC",
		"2026-11-28T08:45:00Z": "Sat 2026-11-28 09:30 UTC",
		"2026-12-31T22:00:00Z": "Fri 2027-01-01 22:00 Europe/Berlin",
	}
	{at: text | some at, _ in cases; text := window.next([weekly, nightly], time.parse_rfc3339_ns(at))} == cases
}

test_the_next_opening_is_looked_for_in_8_days_only if {
	now := time.parse_rfc3339_ns("2026-11-24T12:00:00Z")
	window.next([{"schedule": "0 9 2 12 *", "duration": "1h"}], now) == "Wed 2026-12-02 09:00 UTC"
	window.next([{"schedule": "0 9 3 12 *", "duration": "1h"}], now) == "not within 8 days"
	window.next([], now) == "not within 8 days"
}

test_an_invalid_window_is_reported_and_never_open if {
	cases := {
		["* * * *", "6h", "UTC"]: "a schedule has 5 fields, found 4",
		["@daily", "6h", "UTC"]: "a schedule has 5 fields, found 1",
		["0  22 * * *", "6h", "UTC"]: "a schedule has 5 fields, found 6",
		["60 * * * *", "6h", "UTC"]: `minute "60" must be a number from 0 to 59, or a list, range or step of these`,
		["0 24 * * *", "6h", "UTC"]: `hour "24" must be a number from 0 to 23, or a list, range or step of these`,
		["0 -1 * * *", "6h", "UTC"]: `hour "-1" must be a number from 0 to 23, or a list, range or step of these`,
		["0 5-3 * * *", "6h", "UTC"]: `hour "5-3" must be a number from 0 to 23, or a list, range or step of these`,
		["0 */0 * * *", "6h", "UTC"]: `hour "*/0" must be a number from 0 to 23, or a list, range or step of these`,
		["0 1,,2 * * *", "6h", "UTC"]: `hour "1,,2" must be a number from 0 to 23, or a list, range or step of these`,
		["0 *-5 * * *", "6h", "UTC"]: `hour "*-5" must be a number from 0 to 23, or a list, range or step of these`,
		["0 0 0 * *", "6h", "UTC"]: concat("", [
			`day of month "0" must be a number from 1 to 31, `,
			"or a list, range or step of these",
		]),
		["0 0 ? * *", "6h", "UTC"]: concat("", [
			`day of month "?" must be a number from 1 to 31, `,
			"or a list, range or step of these",
		]),
		["0 0 * 13 *", "6h", "UTC"]: concat("", [
			`month "13" must be a number from 1 to 12 or a name such as jan, `,
			"or a list, range or step of these",
		]),
		["0 0 * * mo", "6h", "UTC"]: concat("", [
			`day of week "mo" must be a number from 0 to 7 or a name such as mon, `,
			"or a list, range or step of these",
		]),
		["0 0 30 feb *", "6h", "UTC"]: "none of the months has this day of month",
		["0 0 * * *", "0s", "UTC"]: "the duration must be more than 0 and at most 168h, for example 6h or 1h30m",
		["0 0 * * *", "168h1s", "UTC"]: "the duration must be more than 0 and at most 168h, for example 6h or 1h30m",
		["0 0 * * *", "6 hours", "UTC"]: "the duration must be more than 0 and at most 168h, for example 6h or 1h30m",
		["0 0 * * *", "6h", "Local"]: `"Local" is not a time zone`,
		["0 0 * * *", "6h", ""]: `"" is not a time zone`,
		["0 0 29 feb *", "6h", "UTC"]: "",
		["0 0 31 feb mon", "6h", "UTC"]: "",
		["0 0 31 2-3 *", "1h30m", "UTC"]: "",
	}
	{[s, d, z]: text |
		some [s, d, z], _ in cases
		text := window.problem({"schedule": s, "duration": d, "timeZone": z})
	} == cases
	every now in numbers.range_step(0, 86400000000000, 3600000000000) {
		every key, wrong in cases {
			wrong == _closed(key, now, wrong)
		}
	}
}

test_an_unknown_time_zone_is_said if {
	nowhere := {"schedule": "0 0 * * *", "duration": "6h", "timeZone": "Europe/Nowhere"}
	wrong := window.problem(nowhere) with time.clock as _clock
	wrong == `"Europe/Nowhere" is not a time zone`
}

test_problems_name_the_windows if {
	window.problems([
		{"schedule": "0 22 * * *", "duration": "6h"},
		{"schedule": "0 25 * * *", "duration": "6h"},
	]) == [concat("", [
		`window "0 25 * * *" for "6h" is invalid: `,
		`hour "25" must be a number from 0 to 23, or a list, range or step of these`,
	])]
}

# With an unknown time zone the builtin fails. Depending on the caller, this stops the evaluation or
# leaves the rule undefined.
_clock([_, zone]) := [0, 0, 0] if zone != "Europe/Nowhere"

# What is wrong with a window, if it is not open.
_closed(_, _, "") := ""

_closed([schedule, duration, zone], now, wrong) := wrong if {
	wrong != ""
	not window.open([{"schedule": schedule, "duration": duration, "timeZone": zone}], now)
}

_open(windows, times) := {at | some at in times; window.open(windows, time.parse_rfc3339_ns(at))}

_minutes_of_five := [sprintf("2026-11-24T05:%s:00Z", [minute]) |
	some n in numbers.range(0, 59)
	minute := substring(sprintf("0%d", [n]), count(sprintf("%d", [n])) - 1, 2)
]
