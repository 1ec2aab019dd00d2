/* The library that churn.c loads: frames of odd sizes, and a call back into the program. */
typedef long (*callback_function)(long);

__attribute__((noinline)) static long lib_3(callback_function callback, long n)
{
	volatile char text[n % 7 * 24 + 40];
	text[n % 7] = 1;
	return callback(n) + text[n % 7];
}

__attribute__((noinline)) static long lib_2(callback_function callback, long n)
{
	volatile long numbers[9] = { n };
	return lib_3(callback, n) + numbers[n % 9];
}

long lib_1(callback_function callback, long n)
{
	return lib_2(callback, n) + 1;
}
