package text

import (
	"strings"

	"github.com/agnivade/levenshtein"
)

// Letters returns in how many letters a word that a user wrote differs from a known one, and whether these are few enough for the
// known one to be meant: one in three, so that two letters in the wrong order count in a word of six. Letters in another case do
// not count, and a word of six letters or more may be the beginning of the known one.
func Letters(word, known string) (differ int, meant bool) {
	const (
		share     = 3
		beginning = 6 // Fewer letters say too little.
	)
	word, known = strings.ToLower(word), strings.ToLower(known)
	most := len(word) / share
	differ = levenshtein.ComputeDistance(word, known)
	if len(word) >= beginning && strings.HasPrefix(known, word) {
		differ = min(differ, most)
	}
	return differ, differ <= most
}

// MostLike returns the known word that is probably meant by a word, the first of several, and "" if there is none. Its time grows
// with the letters of the known words.
func MostLike(word string, known []string) string {
	best, least := "", 0
	for _, candidate := range known {
		if differ, meant := Letters(word, candidate); meant && (best == "" || differ < least) {
			best, least = candidate, differ
		}
	}
	return best
}
