/* One function, several instruction sets: the same code compiled for AVX-512 and AVX2 as well,
 * chosen when the module loads. Each element's arithmetic is its own (-ffp-contract=off, nothing
 * reordered): same bits for every width.
 */
#ifndef REFIMPL_CLONES_H
#define REFIMPL_CLONES_H

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__) \
    && !defined(__SANITIZE_ADDRESS__)
#define REFIMPL_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#define REFIMPL_INLINE static inline __attribute__((always_inline))
#elif defined(_MSC_VER)
#define REFIMPL_CLONES
#define REFIMPL_INLINE static __forceinline
#else
#define REFIMPL_CLONES
#define REFIMPL_INLINE static inline
#endif

#endif
