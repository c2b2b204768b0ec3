# METADATA
# title: Permission for changes
# description: |
#   A change is permitted inside one of the windows, or with an approval, according to the
#   parameters windows and approval of a policy.
package policies.lib.permission

import data.policies.lib.approval
import data.policies.lib.window

# METADATA
# description: True if a change is permitted.
# scope: document
given(_, parameters, now) if window.open(parameters.windows, now)

given(change, parameters, _) if approval.given(change, parameters.approval)

# METADATA
# description: How to get permission for a change, according to the valid parameters.
remedy(change, parameters, now) := concat(", or ", ways) if {
	ways := array.concat(
		[sprintf("wait for the next window (%s)", [window.next(parameters.windows, now)]) |
			count(window.problems(parameters.windows)) < count(parameters.windows)
		],
		[advice |
			advice := approval.advice(change, parameters.approval)
			advice != ""
		],
	)
	count(ways) > 0
} else := "set the parameter windows or approval of the policy"

# METADATA
# description: What is wrong with the parameters, which can be the cause of a missing permission.
problems(parameters) := array.concat(
	window.problems(parameters.windows),
	[problem |
		problem := approval.problem(parameters.approval)
		problem != ""
	],
)
