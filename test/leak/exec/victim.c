// The blocked program, dynamically linked; as a library its constructor is its code.
#include <unistd.h>

__attribute__((constructor)) static void Run(void) {
  if (write(9, "RAN", 3) != 3) _exit(3);
}

int main(void) {
  return 0;
}
