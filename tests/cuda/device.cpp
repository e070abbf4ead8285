// A CUDA driver and NVRTC in one library, for machines without a GPU: kernels are compiled by the system's C++ compiler and
// run on this CPU, one block after the other, the threads of a block in turns from barrier to barrier.
//
// Invariant: what the real ones would refuse ends the process with a word why: memory that was not allocated, a barrier that
// not all threads reach, a call without a context. Only what Tilewright asks for is here.
//
//     g++ -std=c++17 -shared -fPIC device.cpp -o libcuda.so.1 -ldl   # and the same file as libnvrtc.so

#include <dlfcn.h>
#include <elf.h>
#include <setjmp.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))
typedef uint64_t Address;

static std::recursive_mutex lock;

static void refuse(const char* why) {
  fprintf(stderr, "the CUDA device of the tests: %s\n", why);
  abort();
}

// ---- The driver: one device, one context, memory.

static thread_local void* current = nullptr;
static int the_context;
static std::map<Address, size_t> memory;

static void* inside(Address at, size_t bytes) {
  if (current != &the_context) refuse("a thread without a context");
  auto next = memory.upper_bound(at);
  if (next == memory.begin()) refuse("an address that was not allocated");
  auto [start, size] = *std::prev(next);
  if (at + bytes > start + size) refuse("a copy beyond what was allocated");
  return (void*)at;
}

API int cuInit(unsigned) { return 0; }
API int cuDeviceGetCount(int* count) { return *count = 1, 0; }
API int cuDeviceGet(int* device, int) { return *device = 0, 0; }
API int cuDeviceGetName(char* name, int bytes, int) { return snprintf(name, bytes, "a device made of C++"), 0; }
API int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = size_t(1) << 30, 0; }
// The only attributes that matter are the two of the compute capability, 8.0; there are no pools of memory.
API int cuDeviceGetAttribute(int* value, int which, int) { return *value = which == 75 ? 8 : 0, 0; }
API int cuDevicePrimaryCtxRetain(void** context, int) { return *context = &the_context, 0; }
API int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
API int cuCtxSetCurrent(void* context) { return current = context, 0; }
API int cuCtxGetCurrent(void** context) { return *context = current, 0; }
API int cuStreamCreate(void** stream, unsigned) { return *stream = &the_context, 0; }
API int cuStreamSynchronize(void*) { return 0; }
API int cuStreamDestroy_v2(void*) { return 0; }
API int cuCtxSynchronize() { return 0; }
API int cuGetErrorName(int, const char** name) { return *name = "CUDA_ERROR", 0; }
API int cuGetErrorString(int, const char** text) { return *text = "an error of the device of the tests", 0; }

API int cuMemAlloc_v2(Address* at, size_t bytes) {
  std::lock_guard guard(lock);
  if (memory.size() > 100000 || bytes > size_t(1) << 30) return 2;
  void* fresh = aligned_alloc(256, (bytes + 255) / 256 * 256);
  memset(fresh, 0xff, bytes);
  memory[*at = (Address)fresh] = bytes;
  return 0;
}

API int cuMemFree_v2(Address at) {
  std::lock_guard guard(lock);
  if (!memory.erase(at)) refuse("memory is freed that was not allocated");
  free((void*)at);
  return 0;
}

API int cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, void*) {
  std::lock_guard guard(lock);
  return memcpy(inside(to, bytes), from, bytes), 0;
}

API int cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, void*) {
  std::lock_guard guard(lock);
  return memcpy(to, inside(from, bytes), bytes), 0;
}

API int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, void*) {
  std::lock_guard guard(lock);
  if ((to > from ? to - from : from - to) < bytes) refuse("a copy over itself");
  return memcpy(inside(to, bytes), inside(from, bytes), bytes), 0;
}

// ---- Modules: shared objects, which are files to the loader.

API int cuModuleLoadData(void** module, const void* image) {
  auto head = (const Elf64_Ehdr*)image;
  size_t bytes = head->e_shoff + size_t(head->e_shnum) * head->e_shentsize;
  char path[] = "/tmp/cuda_module_XXXXXX";
  int file = mkstemp(path);
  if (file < 0 || write(file, image, bytes) != (ssize_t)bytes) return 1;
  close(file);
  *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  unlink(path);
  if (!*module) fprintf(stderr, "%s\n", dlerror());
  return *module ? 0 : 200;
}

API int cuModuleUnload(void* module) { return dlclose(module), 0; }

struct Function {
  void (*code)(...);
  int n_args;
  struct Thread { unsigned x, y, z; } *thread, *block;
  void (**barrier)();
};

API int cuModuleGetFunction(void** function, void* module, const char* name) {
  std::string n_args = std::string(name) + "_args";
  if (!dlsym(module, name) || !dlsym(module, n_args.c_str())) return 500;
  *function = new Function{(void (*)(...))dlsym(module, name), *(int*)dlsym(module, n_args.c_str()),
                           (Function::Thread*)dlsym(module, "threadIdx"), (Function::Thread*)dlsym(module, "blockIdx"),
                           (void (**)())dlsym(module, "at_barrier")};
  return 0;
}

// ---- Launches.

static const int MAX_ARGS = 48;
static const size_t STACK = 1 << 20;

static struct Block {
  jmp_buf scheduler;
  std::vector<ucontext_t> starts;
  std::vector<jmp_buf*> threads;
  std::vector<std::vector<char>> stacks;
  std::vector<char> started, done;
  unsigned now;
  Function* function;
  uint64_t args[MAX_ARGS];
} block;

static void wait_for_others() {
  if (!_setjmp(*block.threads[block.now])) _longjmp(block.scheduler, 1);
}

static void thread_main() {
  // As many as any kernel has: those that it does not have it does not look at.
  auto a = block.args;
  typedef uint64_t u;
  ((void (*)(u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u, u,
             u, u, u, u, u, u, u, u, u))block.function->code)(
      a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9], a[10], a[11], a[12], a[13], a[14], a[15], a[16], a[17],
      a[18], a[19], a[20], a[21], a[22], a[23], a[24], a[25], a[26], a[27], a[28], a[29], a[30], a[31], a[32], a[33], a[34],
      a[35], a[36], a[37], a[38], a[39], a[40], a[41], a[42], a[43], a[44], a[45], a[46], a[47]);
  block.done[block.now] = true;
  _longjmp(block.scheduler, 1);
}

// Until its next barrier, or its end.
static void run_thread() {
  if (_setjmp(block.scheduler)) return;
  if (block.started[block.now]) _longjmp(*block.threads[block.now], 1);
  block.started[block.now] = true;
  setcontext(&block.starts[block.now]);
}

static void run_block(unsigned n_threads) {
  block.done.assign(n_threads, false);
  block.started.assign(n_threads, false);
  block.starts.resize(n_threads);
  while (block.threads.size() < n_threads) block.threads.push_back((jmp_buf*)new jmp_buf);
  while (block.stacks.size() < n_threads) block.stacks.emplace_back(STACK);
  for (unsigned at = 0; at < n_threads; at++) {
    getcontext(&block.starts[at]);
    block.starts[at].uc_stack = {block.stacks[at].data(), 0, STACK};
    makecontext(&block.starts[at], thread_main, 0);
  }
  for (unsigned n_done = 0; n_done < n_threads;) {
    n_done = 0;
    for (block.now = 0; block.now < n_threads; block.now++) {
      *block.function->thread = {block.now, 0, 0};
      run_thread();
      n_done += block.done[block.now];
    }
    if (n_done != 0 && n_done != n_threads) refuse("a barrier that not all threads of a block reach");
  }
}

API int cuLaunchKernel(void* function, unsigned n_blocks, unsigned, unsigned, unsigned n_threads, unsigned, unsigned, unsigned,
                       void*, void** args, void**) {
  std::lock_guard guard(lock);
  if (current != &the_context) refuse("a launch without a context");
  block.function = (Function*)function;
  if (block.function->n_args > MAX_ARGS) refuse("more arguments than it is made for");
  memset(block.args, 0, sizeof block.args);
  for (int at = 0; at < block.function->n_args; at++) block.args[at] = *(uint64_t*)args[at];
  *block.function->barrier = wait_for_others;
  for (unsigned at = 0; at < n_blocks; at++) {
    *block.function->block = {at, 0, 0};
    run_block(n_threads);
  }
  return 0;
}

// ---- The compiler.

static const char* PRELUDE = R"(
#include <cmath>
#include <cstring>
struct Index { unsigned x, y, z; };
extern "C" { Index threadIdx, blockIdx; void (*at_barrier)(); }
#define __global__
#define __device__
#define __shared__ static
#define __forceinline__ inline
#define __launch_bounds__(...)
static inline void __syncthreads() { at_barrier(); }
template <class T, class F> static inline T bits_as(F from) { T to; memcpy(&to, &from, sizeof to); return to; }
static inline float __uint_as_float(unsigned x) { return bits_as<float>(x); }
static inline float __int_as_float(int x) { return bits_as<float>(x); }
static inline unsigned __float_as_uint(float x) { return bits_as<unsigned>(x); }
static inline int __float_as_int(float x) { return bits_as<int>(x); }
static inline int __float2int_rz(float x) { return x >= 2147483648.0f ? 2147483647 : x < -2147483648.0f ? -2147483647 - 1 : (int)x; }
static inline unsigned __float2uint_rz(float x) { return x >= 4294967296.0f ? 4294967295u : x < 0 ? 0 : (unsigned)x; }
static inline long long __float2ll_rz(float x) {
  return x >= 9223372036854775808.0f ? 9223372036854775807ll : x < -9223372036854775808.0f ? -9223372036854775807ll - 1 : (long long)x;
}
static inline float of_half(unsigned short bits) { return bits_as<_Float16>(bits); }
static inline unsigned short to_half(float x) { return bits_as<unsigned short>((_Float16)x); }
static inline float of_brain(unsigned short bits) { return __uint_as_float((unsigned)bits << 16); }

// mma.sync.m16n8k16, as NVIDIA's figures lay matrices out: what a thread needs of others it reads between two barriers.
struct Registers { float c[4]; unsigned a[4], b[2]; };
static Registers registers[1024];
static inline float half_of(unsigned word, int which, float (*number)(unsigned short)) { return number(word >> 16 * which); }
static inline void multiply_matrices(float (*number)(unsigned short), float* d[4], Registers own) {
  registers[threadIdx.x] = own;
  at_barrier();
  const Registers* warp = registers + threadIdx.x / 32 * 32;
  unsigned group = threadIdx.x % 32 / 4, in_group = threadIdx.x % 4;
  for (int at = 0; at < 4; at++) {
    unsigned row = group + at / 2 * 8, column = in_group * 2 + at % 2;
    float sum = own.c[at];
    for (unsigned k = 0; k < 16; k++) {
      unsigned a = warp[row % 8 * 4 + k % 8 / 2].a[row / 8 + k / 8 * 2], b = warp[column * 4 + k % 8 / 2].b[k / 8];
      sum = std::fma(half_of(a, k % 2, number), half_of(b, k % 2, number), sum);
    }
    *d[at] = sum;
  }
  at_barrier();
}
)";

// Instructions that only a GPU has, and what stands for them.
static const struct { const char *begin, *instead; } INSTRUCTIONS[] = {
    {"asm(\"cvt.f32.f16", "value = of_half(bits);"},
    {"asm(\"cvt.rn.f16.f32", "bits = to_half(x);"},
    {"asm(\"mma.sync.aligned.m16n8k16.row.col.f32.bf16",
     "float* d[4] = {&d0, &d1, &d2, &d3}; multiply_matrices(of_brain, d, {{c0, c1, c2, c3}, {a0, a1, a2, a3}, {b0, b1}});"},
    {"asm(\"mma.sync.aligned.m16n8k16.row.col.f32.f16",
     "float* d[4] = {&d0, &d1, &d2, &d3}; multiply_matrices(of_half, d, {{c0, c1, c2, c3}, {a0, a1, a2, a3}, {b0, b1}});"},
};

static std::string without_instructions(std::string text) {
  for (auto& instruction : INSTRUCTIONS)
    for (size_t at; (at = text.find(instruction.begin)) != std::string::npos;)
      text.replace(at, text.find(");", at) + 2 - at, instruction.instead);
  return text;
}

struct Source {
  std::string text, log, code;
};

static std::string whole(const std::string& path) {
  std::string text;
  if (FILE* file = fopen(path.c_str(), "rb")) {
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, file)) > 0;) text.append(part, n);
    fclose(file);
  }
  return text;
}

// How many arguments each kernel has, as variables beside it.
static std::string counts(const std::string& text) {
  std::string found;
  for (size_t at = 0; (at = text.find("__global__", at)) != std::string::npos; at++) {
    size_t open = text.find('(', text.find("__launch_bounds__", at));
    open = text.find('(', open + 1);
    size_t start = text.rfind(' ', open) + 1, close = text.find(')', open);
    int n_args = 1;
    for (size_t c = open; c < close; c++) n_args += text[c] == ',';
    found += "extern \"C\" { int " + text.substr(start, open - start) + "_args = " + std::to_string(n_args) + "; }\n";
  }
  return found;
}

API int nvrtcVersion(int* major, int* minor) { return *major = 0, *minor = 1, 0; }

API int nvrtcCreateProgram(Source** source, const char* text, const char*, int, const char**, const char**) {
  return *source = new Source{text, "", ""}, 0;
}

API int nvrtcDestroyProgram(Source** source) { return delete *source, 0; }

API int nvrtcCompileProgram(Source* source, int n_options, const char** options) {
  bool rounds = false;
  for (int at = 0; at < n_options; at++) rounds |= !strcmp(options[at], "--fmad=false");
  char path[] = "/tmp/cuda_kernel_XXXXXX";
  int file = mkstemp(path);
  std::string text = std::string(PRELUDE) + without_instructions(source->text) + counts(source->text), base = path;
  if (file < 0 || write(file, text.data(), text.size()) != (ssize_t)text.size()) return 1;
  close(file);
  std::string command = "g++ -x c++ -std=c++17 -O1 -w -fwrapv -shared -fPIC " + std::string(rounds ? "-ffp-contract=off " : "") +
                        base + " -o " + base + ".so 2> " + base + ".log";
  int status = system(command.c_str());
  source->log = whole(base + ".log");
  source->code = whole(base + ".so");
  for (const char* end : {"", ".log", ".so"}) unlink((base + end).c_str());
  return status == 0 ? 0 : 6;
}

API int nvrtcGetProgramLogSize(Source* source, size_t* bytes) { return *bytes = source->log.size() + 1, 0; }
API int nvrtcGetProgramLog(Source* source, char* log) { return strcpy(log, source->log.c_str()), 0; }
API int nvrtcGetCUBINSize(Source* source, size_t* bytes) { return *bytes = source->code.size(), 0; }
API int nvrtcGetCUBIN(Source* source, char* code) { return memcpy(code, source->code.data(), source->code.size()), 0; }
