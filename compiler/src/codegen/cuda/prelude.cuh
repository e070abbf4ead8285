// What kernels use beyond the language. Compile with --fmad=false.
typedef long long i64;
typedef unsigned long long u64;
typedef unsigned int u32;
typedef signed char i8;
typedef unsigned char u8;
typedef unsigned short u16;

// Integers wrap.
template <class T> struct Unsigned { typedef T type; };
template <> struct Unsigned<i64> { typedef u64 type; };
template <> struct Unsigned<int> { typedef u32 type; };
template <> struct Unsigned<i8> { typedef u8 type; };
template <class T> __device__ __forceinline__ T add(T a, T b) {
  typedef typename Unsigned<T>::type U;
  return (T)((U)a + (U)b);
}
template <class T> __device__ __forceinline__ T sub(T a, T b) {
  typedef typename Unsigned<T>::type U;
  return (T)((U)a - (U)b);
}
template <class T> __device__ __forceinline__ T mul(T a, T b) {
  typedef typename Unsigned<T>::type U;
  return (T)((U)a * (U)b);
}
template <class T> __device__ __forceinline__ T shl(T a, T by) {
  typedef typename Unsigned<T>::type U;
  return (T)((U)a << (U)by);
}

// Of the sign of the divisor.
__device__ __forceinline__ float floor_mod(float a, float b) {
  float r = fmodf(a, b);
  return r != 0.0f && (r < 0.0f) != (b < 0.0f) ? r + b : r;
}

// NaN where either is, and the first of equals.
__device__ __forceinline__ float least(float a, float b) { return b != b || b < a ? b : a; }
__device__ __forceinline__ float greatest(float a, float b) { return b != b || b > a ? b : a; }
template <class T> __device__ __forceinline__ T smaller(T a, T b) { return a < b ? a : b; }
template <class T> __device__ __forceinline__ T larger(T a, T b) { return a > b ? a : b; }

// Towards zero, within the range of the type; NaN gives 0.
__device__ __forceinline__ int to_i32(float x) { return __float2int_rz(x != x ? 0.0f : x); }
__device__ __forceinline__ u32 to_u32(float x) { return __float2uint_rz(x != x ? 0.0f : x); }
__device__ __forceinline__ i64 to_i64(float x) { return __float2ll_rz(x != x ? 0.0f : x); }
__device__ __forceinline__ i8 to_i8(float x) { return (i8)smaller(larger(to_i32(x), -128), 127); }
__device__ __forceinline__ u8 to_u8(float x) { return (u8)smaller(to_u32(x), 255u); }

// Floats of 16 bits.
__device__ __forceinline__ float of_bf16(u16 bits) { return __uint_as_float((u32)bits << 16); }
__device__ __forceinline__ u16 to_bf16(float x) {
  u32 bits = __float_as_uint(x);
  if (x != x) return (u16)((bits >> 16) | 0x40u);
  return (u16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
__device__ __forceinline__ float of_f16(u16 bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
__device__ __forceinline__ u16 to_f16(float x) {
  u16 bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
  return bits;
}

// Neighbours as one word, the first in the lowest bits.
__device__ __forceinline__ u32 word_of(const u16* from) { return (u32)from[0] | (u32)from[1] << 16; }
__device__ __forceinline__ u32 word_of(const u8* from) {
  return (u32)from[0] | (u32)from[1] << 8 | (u32)from[2] << 16 | (u32)from[3] << 24;
}
__device__ __forceinline__ u32 word_of(const i8* from) { return word_of((const u8*)from); }

// d = c + a·b by the 32 threads of a warp: a is 16 × 16, b is 16 × 8, of bf16.
__device__ __forceinline__ void mma_m16n8k16_bf16(
    float& d0, float& d1, float& d2, float& d3, float c0, float c1, float c2, float c3,
    u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
      : "=f"(d0), "=f"(d1), "=f"(d2), "=f"(d3)
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1), "f"(c0), "f"(c1), "f"(c2), "f"(c3));
}

// d = c + a·b by the 32 threads of a warp: a is 16 × 16, b is 16 × 8, of f16.
__device__ __forceinline__ void mma_m16n8k16_f16(
    float& d0, float& d1, float& d2, float& d3, float c0, float c1, float c2, float c3,
    u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13};"
      : "=f"(d0), "=f"(d1), "=f"(d2), "=f"(d3)
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1), "f"(c0), "f"(c1), "f"(c2), "f"(c3));
}
