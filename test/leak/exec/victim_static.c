// The blocked program without a library: its first act is the token. Static, at a fixed address, no start-up code.
static long SystemCall(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

void _start(void) {
  static const char token[] = "RAN";
  SystemCall(1, 9, (long)token, 3);
  SystemCall(60, 0, 0, 0);
}
