/* Short processes whose stacks are known, as many as the CPUs bear.
 *
 *   churn drive SECONDS AT_ONCE VARIANT_MS SLOT_MS PROGRAM LIBRARY
 *
 * For SECONDS keeps AT_ONCE children running: PROGRAM.v.s child LIBRARY.v, where v counts the times
 * of VARIANT_MS that have passed, and s those of SLOT_MS since v began. A child loads the library,
 * maps memory and a file, sleeps 60 ms, works 5 ms of CPU time and ends:
 *
 *      main -> run -> lib_1 -> lib_2 -> lib_3 -> callback -> spin
 *
 * Prints how many there were. Ends with 1 when one of them failed.
 * Build: gcc -O2 -fomit-frame-pointer; churn-lib.c -shared -fPIC -nostdlib.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLEEP_NS = 60000000, WORK_NS = 5000000, TURN = 20000, MAPPED = 1 << 20 };

typedef long (*lib_function)(long (*)(long), long);

static volatile unsigned long sink;

static long long now_ns(clockid_t clock)
{
	struct timespec t;
	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ll + t.tv_nsec;
}

__attribute__((noinline)) static void spin(long n)
{
	for (long i = 0; i < n; i++)
		sink += i;
}

__attribute__((noinline)) static long callback(long n)
{
	spin(n);
	return n + sink;
}

__attribute__((noinline)) static void run(lib_function lib_1)
{
	long long until = now_ns(CLOCK_PROCESS_CPUTIME_ID) + WORK_NS;
	while (now_ns(CLOCK_PROCESS_CPUTIME_ID) < until)
		sink += lib_1(callback, TURN);
}

static int child(const char *library)
{
	struct timespec pause = { 0, SLEEP_NS };
	void *handle = dlopen(library, RTLD_NOW);
	int file = open(library, O_RDONLY);
	if (handle == NULL || file < 0)
		return 71;
	char *memory = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *again = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, file, 0);
	memory[0] = again[0];
	nanosleep(&pause, NULL);
	run((lib_function)dlsym(handle, "lib_1"));
	return 0;
}

static void start(const char *program, const char *library, long long variant, long long slot)
{
	char program_path[4096], library_path[4096];
	snprintf(program_path, sizeof(program_path), "%s.%lld.%lld", program, variant, slot);
	snprintf(library_path, sizeof(library_path), "%s.%lld", library, variant);
	execl(program_path, program_path, "child", library_path, (char *)NULL);
	_exit(127);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "child") == 0)
		return child(argv[2]);
	if (argc != 8)
		return 64;
	long long length = atoll(argv[2]) * 1000000000ll, passed, begin = now_ns(CLOCK_MONOTONIC);
	long long variant_ms = atoll(argv[4]), slot_ms = atoll(argv[5]);
	int at_once = atoi(argv[3]), running = 0, started = 0, failed = 0, status;
	while ((passed = now_ns(CLOCK_MONOTONIC) - begin) < length || running > 0) {
		if (passed >= length || running == at_once) {
			wait(&status);
			failed |= status != 0;
			running--;
			continue;
		}
		long long ms = passed / 1000000;
		if (fork() == 0)
			start(argv[6], argv[7], ms / variant_ms, ms % variant_ms / slot_ms);
		running++;
		started++;
	}
	printf("%d\n", started);
	return failed;
}
