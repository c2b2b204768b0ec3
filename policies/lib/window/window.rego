# METADATA
# title: Windows of time
# description: |
#   A window opens at the times of a cron schedule and stays open for a duration, both by the
#   clock of the window's time zone. "0 22 * * *" for 6h is from 22:00 to 04:00. In nights with
#   a change to or from daylight saving time the window is an hour shorter or longer, and times
#   that the clock skips do not open a window.
#
#   A schedule has the fields minute, hour, day of month, month and day of week, with lists,
#   ranges, steps and names as in crontab(5). If both day of month and day of week are
#   restricted, a day that matches either field counts.
package policies.lib.window

# METADATA
# description: True if one of the valid windows is open.
# scope: document
open(windows, now) if {
	some window in windows
	problem(window) == ""
	_open(window, now)
}

# METADATA
# description: What is wrong with each invalid window. Such a window never opens.
problems(windows) := [text |
	some window in windows
	wrong := problem(window)
	wrong != ""
	text := sprintf("window %q for %q is invalid: %s", [window.schedule, window.duration, wrong])
]

# METADATA
# description: When the next window opens within 8 days, "Tue 2026-11-24 22:00 Europe/Berlin".
# scope: document
next(windows, now) := text if {
	openings := {[wait, text] |
		some window in windows
		problem(window) == ""
		local := _local(window, now)
		start := _next(_schedule(window), local)
		wait := start - local
		text := sprintf("%s %s", [time.format([start, "UTC", "Mon 2006-01-02 15:04"]), _zone(window)])
	}
	count(openings) > 0
	text := min(openings)[1]
}

next(windows, now) := "not within 8 days" if {
	every window in windows {
		not _opens(window, now)
	}
}

# METADATA
# description: What is wrong with a window; empty if it is valid.
# scope: document
problem(window) := _wrong(window)[0] if count(_wrong(window)) > 0

problem(window) := "" if count(_wrong(window)) == 0

_opens(window, now) if {
	problem(window) == ""
	_next(_schedule(window), _local(window, now))
}

_open(window, now) if {
	local := _local(window, now)
	duration := time.parse_duration_ns(window.duration)

	# All openings have the same duration, so only the latest one can last until now.
	_latest(_schedule(window), local, ceil(duration / _day)) + duration > local
}

# The errors in a window, in order.
_wrong(window) := array.concat(
	_wrong_fields(split(window.schedule, " ")),
	[text |
		some text in [
			_wrong_duration(window.duration),
			_wrong_zone(_zone(window)),
		]
		text != ""
	],
)

_wrong_fields(texts) := [sprintf("a schedule has 5 fields, found %d", [count(texts)])] if count(texts) != 5

_wrong_fields(texts) := wrong if {
	count(texts) == 5
	wrong := [sprintf("%s %q must be %s, or a list, range or step of these", [field.name, texts[i], field.values]) |
		some i, field in _fields
		not _values(texts[i], field)
	]
	count(wrong) > 0
}

_wrong_fields(texts) := [] if {
	count(texts) == 5
	_matches_any_day(_read(texts))
}

_wrong_fields(texts) := ["none of the months has this day of month"] if {
	count(texts) == 5
	schedule := _read(texts)
	not _matches_any_day(schedule)
}

_wrong_duration(text) := "" if {
	regex.match(`^([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,3}$`, text)
	duration := time.parse_duration_ns(text)
	duration > 0
	duration <= 7 * _day
} else := "the duration must be more than 0 and at most 168h, for example 6h or 1h30m"

_wrong_zone(zone) := "" if {
	# The local zone differs between processes.
	not zone in {"", "Local"}
	time.clock([0, zone])
} else := sprintf("%q is not a time zone", [zone])

_zone(window) := object.get(window, "timeZone", "UTC")

# The time of the clock in the window's time zone, in nanoseconds since that clock showed 1970. All
# rules below use this time, in which every day has 24 hours.
_local(window, now) := time.parse_ns(layout, time.format([now, _zone(window), layout])) if {
	layout := "2006-01-02T15:04:05"
}

_day := 86400000000000

_minute := 60000000000

_fields := [
	{"name": "minute", "values": "a number from 0 to 59", "min": 0, "max": 59, "names": {}},
	{"name": "hour", "values": "a number from 0 to 23", "min": 0, "max": 23, "names": {}},
	{"name": "day of month", "values": "a number from 1 to 31", "min": 1, "max": 31, "names": {}},
	{"name": "month", "values": "a number from 1 to 12 or a name such as jan", "min": 1, "max": 12, "names": _months},
	{
		"name": "day of week",
		"values": "a number from 0 to 7 or a name such as mon",
		"min": 0,
		"max": 7,
		"names": _weekdays,
	},
]

_months[name] := number + 1 if {
	some number, name in ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
}

_weekdays[name] := number if some number, name in ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]

_schedule(window) := _read(split(window.schedule, " "))

_read(texts) := {
	"minutes": _values(texts[0], _fields[0]),
	"hours": _values(texts[1], _fields[1]),
	"days": _values(texts[2], _fields[2]),
	"months": _values(texts[3], _fields[3]),
	"weekdays": {weekday | some day in weekdays; weekday := day % 7},
	"anyDay": _any(texts[2]),
	"anyWeekday": _any(texts[4]),
} if {
	weekdays := _values(texts[4], _fields[4])
}

_any(text) if {
	some item in split(text, ",")
	item in {"*", "*/1"}
} else := false

# The values of a field; undefined if a part of it is invalid.
_values(text, field) := union({values | some values in parts}) if {
	items := split(text, ",")
	parts := [_item(item, field) | some item in items]
	count(parts) == count(items)
}

# A value, a range or *, with an optional step.
_item(item, field) := {value | some value in numbers.range_step(range[0], range[1], step)} if {
	parts := regex.find_all_string_submatch_n(`^([0-9a-zA-Z]+|\*)(-[0-9a-zA-Z]+)?(/[0-9]{1,2})?$`, item, 1)[0]
	range := _range(parts[1], trim_prefix(parts[2], "-"), parts[3] != "", field)
	range[0] <= range[1]
	step := _step(trim_prefix(parts[3], "/"))
	step > 0
}

_range("*", "", _, field) := [field.min, field.max]

_range(from, "", false, field) := [_value(from, field), _value(from, field)] if from != "*"

_range(from, "", true, field) := [_value(from, field), field.max] if from != "*"

_range(from, to, _, field) := [_value(from, field), _value(to, field)] if to != ""

_step("") := 1

_step(text) := _number(text) if text != ""

_value(text, field) := field.names[lower(text)]

_value(text, field) := value if {
	regex.match(`^[0-9]{1,2}$`, text)
	value := _number(text)
	value >= field.min
	value <= field.max
}

# JSON numbers have no leading zeros.
_number(digits) := to_number(regex.replace(digits, `^0([0-9])`, `$1`))

# True if the schedule matches any day.
_matches_any_day(schedule) if not schedule.anyWeekday

_matches_any_day(schedule) if {
	some month in schedule.months
	min(schedule.days) <= [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1]
}

# The latest opening before or at the time, at most some days back.
_latest(schedule, local, days) := max([start |
	some back in numbers.range(0, days)
	midnight := (local - (local % _day)) - (back * _day)
	_matches(schedule, midnight)
	start := midnight + (max(_minutes_until(schedule, back, local)) * _minute)
])

# The next opening after the time, within 8 days.
_next(schedule, local) := min([start |
	some on in numbers.range(0, 8)
	midnight := (local - (local % _day)) + (on * _day)
	_matches(schedule, midnight)
	start := midnight + (min(_minutes_from(schedule, on, local)) * _minute)
])

# Openings on a day up to the time, in minutes since midnight: at least the last one. For earlier
# days, only the last one.
_minutes_until(schedule, 0, local) := {of_day |
	[now_hour, now_minute, _] := time.clock(local)
	some hour in schedule.hours
	minute := _last_minute(schedule.minutes, hour, now_hour, now_minute)
	of_day := (hour * 60) + minute
}

_minutes_until(schedule, back, _) := {(max(schedule.hours) * 60) + max(schedule.minutes)} if back > 0

_last_minute(minutes, hour, now_hour, _) := max(minutes) if hour < now_hour

_last_minute(minutes, hour, now_hour, now_minute) := max([minute | some minute in minutes; minute <= now_minute]) if {
	hour == now_hour
}

# Openings on a day after the time, in minutes since midnight: at least the first one. For later
# days, only the first one.
_minutes_from(schedule, 0, local) := {of_day |
	[now_hour, now_minute, _] := time.clock(local)
	some hour in schedule.hours
	minute := _first_minute(schedule.minutes, hour, now_hour, now_minute)
	of_day := (hour * 60) + minute
}

_minutes_from(schedule, on, _) := {(min(schedule.hours) * 60) + min(schedule.minutes)} if on > 0

_first_minute(minutes, hour, now_hour, _) := min(minutes) if hour > now_hour

_first_minute(minutes, hour, now_hour, now_minute) := min([minute | some minute in minutes; minute > now_minute]) if {
	hour == now_hour
}

# True if a schedule matches the day that begins at midnight.
_matches(schedule, midnight) if {
	[_, month, day] := time.date(midnight)
	month in schedule.months
	_matches_day(schedule, day, _weekdays[substring(lower(time.weekday(midnight)), 0, 3)])
}

_matches_day(schedule, day, weekday) if {
	day in schedule.days
	weekday in schedule.weekdays
}

_matches_day(schedule, day, _) if {
	not schedule.anyDay
	not schedule.anyWeekday
	day in schedule.days
}

_matches_day(schedule, _, weekday) if {
	not schedule.anyDay
	not schedule.anyWeekday
	weekday in schedule.weekdays
}
