// Go whose calls are known: run -> f1 -> ... -> f10 in two goroutines; only f10 calls the library.
package main

import (
	"fmt"
	"sort"
)

var sink int

//go:noinline
func spin(n int) int {
	for i := 0; i < n; i++ {
		sink += i
	}
	return sink
}

//go:noinline
func f10(n int) int {
	words := map[string]int{}
	numbers := make([]int, 0, 8)
	for i := 0; i < 20; i++ {
		words[fmt.Sprintf("%d-%v", i, n)] += i
		numbers = append(numbers, i*7919%31)
	}
	sort.Ints(numbers)
	return spin(200) + len(words) + numbers[0]
}

//go:noinline
func f9(n int) int { return f10(n) + 9 }

//go:noinline
func f8(n int) int { return f9(n) + 8 }

//go:noinline
func f7(n int) int {
	var large [4096]byte
	large[n%4096] = byte(n)
	return f8(n) + int(large[n%100])
}

//go:noinline
func f6(n int) int { return f7(n) + 6 }

//go:noinline
func f5(n int) int { return f6(n) + 5 }

//go:noinline
func f4(n int) int { return f5(n) + 4 }

//go:noinline
func f3(n int) int { return f4(n) + 3 }

//go:noinline
func f2(n int) int { return f3(n) + 2 }

//go:noinline
func f1(n int) int { return f2(n) + 1 }

func run() {
	for n := 0; ; n++ {
		f1(n)
	}
}

func main() {
	go run()
	go run()
	select {}
}
