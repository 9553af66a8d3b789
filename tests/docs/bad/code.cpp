int main() {
  // [part]
  int a = 1;
  int b = 2;
  // [part]
}
