// Go that calls C: run -> f1 -> f2 -> (cgo) -> c1 -> ... -> c5; the C code keeps no frame pointers.
package main

/*
#cgo CFLAGS: -O2 -fomit-frame-pointer
#include <alloca.h>
#include <string.h>
static volatile unsigned long c_sink;
__attribute__((noinline)) static long c5(long n) { for (int i = 0; i < 3000; i++) c_sink += i; return n; }
__attribute__((noinline)) static long c4(long n) { return c5(n) + 4; }
__attribute__((noinline)) static long c3(long n)
{
	char *text = alloca(n % 100 + 16);
	memset(text, 1, 16);
	return c4(n) + text[3];
}
__attribute__((noinline)) static long c2(long n) { return c3(n) + 2; }
__attribute__((noinline)) static long c1(long n) { return c2(n) + 1; }
*/
import "C"

//go:noinline
func f2(n int) int { return int(C.c1(C.long(n))) + 2 }

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
