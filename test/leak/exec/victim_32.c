// The blocked program as a 32-bit one.
static int SystemCall(int number, int a, int b, int c) {
  int result;
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
  return result;
}

void _start(void) {
  static const char token[] = "RAN";
  SystemCall(4, 9, (int)token, 3);
  SystemCall(1, 0, 0, 0);
}
