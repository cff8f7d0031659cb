package config

import "strings"

// Nearest returns the known name that somebody who typed the unknown one most likely meant, empty if none is near. Names
// that end in the unknown one count as very near, for people forget the section a key is in.
func Nearest(unknown string, known []string) string {
	best, bestDistance := "", 1+min(len(unknown)/3, 4)
	for _, name := range known {
		distance := editDistance(strings.ToLower(unknown), strings.ToLower(name))
		if last := name[strings.LastIndexByte(name, '.')+1:]; strings.EqualFold(last, unknown) {
			distance = min(distance, 1)
		}
		if distance < bestDistance {
			best, bestDistance = name, distance
		}
	}
	return best
}

// editDistance counts the letters to insert, delete or replace to make b of a (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(substitute, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
