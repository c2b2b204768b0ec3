# METADATA
# title: Permission for changes
# description: |
#   A change that is held back is permitted inside one of the windows of time, or with an
#   approval, as the parameters windows and approval of a policy say.
package policies.lib.permission

import data.policies.lib.approval
import data.policies.lib.window

# METADATA
# description: Whether a change is permitted.
# scope: document
given(_, parameters, now) if window.open(parameters.windows, now)

given(change, parameters, _) if approval.given(change, parameters.approval)

# METADATA
# description: How to get permission, as far as the parameters can be read.
remedy(parameters, now) := concat(", or ", ways) if {
	ways := array.concat(
		[sprintf("wait for the next window (%s)", [window.next(parameters.windows, now)]) |
			count(window.problems(parameters.windows)) < count(parameters.windows)
		],
		[advice |
			advice := approval.advice(parameters.approval)
			advice != ""
		],
	)
	count(ways) > 0
} else := "name a window or an approval in the policy's parameters windows and approval"

# METADATA
# description: What is wrong with the parameters, which may be why there is no permission.
problems(parameters) := array.concat(
	window.problems(parameters.windows),
	[problem |
		problem := approval.problem(parameters.approval)
		problem != ""
	],
)
