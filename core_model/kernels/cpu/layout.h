// What Python hands over: matrices, layers, a call. Plain C structs; `core_model/kernels/structs.py` mirrors them.
// Ignores who owns the memory: Python does, and keeps it alive and still for as long as a call runs.
//
// Shapes: T tokens of a call, D model dim, F feed-forward dim, H query heads, M key-value heads, R head dim, E experts.
#pragma once
#include <cstdint>

constexpr int kRows = 16;   // outputs whose weights lie interleaved
constexpr int kGroup = 32;  // inputs that share a scale, of weights and activations alike

// A weight matrix (outputs, inputs): blocks of 16 outputs one after another; in a block its groups of 32 inputs; in a
// group the codes, then 16 fp16 scales and, for 4 bits, 16 fp16 minima. Codes of input i and row r:
//   8 bits: signed, byte (i / 4) * 64 + r * 4 + i % 4.
//   4 bits: unsigned, byte (i / 8) * 64 + r * 4 + i % 4; the lower half of it for i % 8 < 4, else the upper half.
// A weight is factor * (code * scale + minimum); `factor` is a power of two that keeps scales clear of fp16's ends.
struct Matrix {
    const uint8_t* data;
    const float* bias;  // padded to whole blocks; may be null
    int32_t bits, outputs, inputs;
    float factor;
};

constexpr int group_bytes(int bits) { return kRows * kGroup * bits / 8 + (bits == 4 ? 4 : 2) * kRows; }

// How experts are chosen; see core_model/routing.py.
struct Router {
    const float* weight;      // (E, D)
    const float* bias;        // (E), may be null
    const float* correction;  // (E), may be null: added for the choice only
    int64_t* counts;          // (E), tokens that each expert got are added here
    int32_t experts, top_k, groups, top_groups;
    int32_t is_sigmoid, by_top2, normalize;
    float scale;
};

struct Layer {
    const float *attention_norm, *q_norm, *k_norm, *feed_forward_norm;  // q_norm and k_norm may be null
    Matrix qkv, o;
    Matrix gate_up, down;  // dense or shared; data null: none
    Router router;         // experts 0: none
    const Matrix *expert_gate_up, *expert_down;
};

struct Model {
    const Layer* layers;
    const float* norm;
    const float *cos, *sin;  // (positions, rotary / 2)
    int32_t num_layers, dim, heads, kv_heads, head_dim, rotary, positions, norm_per_head;
    float eps, score_scale;
};

// New tokens of one sequence; position p is in page `pages[p / page_size]`.
struct Segment {
    const int32_t* pages;
    int32_t num_pages, start, num_tokens;
};

struct Call {
    float* x;               // (T, D): embeddings in, normed hidden states out
    uint16_t* const* cache; // per layer (2M, slots, R) fp16: keys of each head, then values
    const Segment* segments;
    int32_t num_segments, num_tokens, page_size, slots;
};
