// A call of the decoder, from embeddings to normed hidden states, by all threads of a team. Ignores tokens and logits.
//
// Tokens go through all layers in chunks that fit the cache. Every phase deals out its items and ends with a barrier.
// All that a token's result is made of is computed for this token alone, in one order: neither the other tokens of a
// call, nor how a prompt is cut, nor the number of threads changes its bits.

// Memory of a chunk, cut from one piece; `bytes` says how much.
struct Buffers {
    Rows normed, attended, hidden, expert_hidden;
    float *plain, *qkv, *out, *routing, *attention;
    uint8_t* spread;          // four blocks of weights for each thread
    Choice* choices;          // (tokens, K)
    int32_t *pairs, *first_pair;  // places in `choices`, by expert; where each expert's begin
    int32_t* chosen;              // experts that somebody chose, ascending, behind how many they are
    size_t bytes = 0;
    size_t spread_bytes;
    int qkv_width, attention_floats, routing_floats;

    Buffers(uint8_t* memory, const Model& m, int num_threads) {
        int hidden_dim = 0, expert_dim = 0, experts = 0, top_k = 0;
        for (int i = 0; i < m.num_layers; ++i) {
            const Layer& layer = m.layers[i];
            if (layer.down.data && layer.down.inputs > hidden_dim) hidden_dim = layer.down.inputs;
            if (layer.router.experts) {
                experts = layer.router.experts, top_k = layer.router.top_k;
                expert_dim = layer.expert_down[0].inputs;
            }
        }
        qkv_width = (m.heads + 2 * m.kv_heads) * m.head_dim;
        qkv_width = (qkv_width + kRows - 1) / kRows * kRows;
        attention_floats = int(AttentionScratch::floats(m)), routing_floats = 3 * experts;
        const auto take = [&](size_t count, size_t size) {
            uint8_t* at = memory + bytes;
            bytes += (count * size + 63) / 64 * 64;
            return at;
        };
        const auto floats = [&](size_t count) { return reinterpret_cast<float*>(take(count, sizeof(float))); };
        const auto rows = [&](int count, int inputs) { return Rows{take(count, Rows::row_bytes(inputs)), inputs}; };
        const int each = num_threads < kChunk ? kChunk : num_threads;  // rows by token, or by thread
        normed = rows(each, m.dim), attended = rows(each, m.heads * m.head_dim);
        hidden = rows(kChunk, hidden_dim), expert_hidden = rows(kChunk * top_k, expert_dim);
        plain = floats(size_t(each) * m.dim), qkv = floats(size_t(kChunk) * qkv_width);
        out = floats(size_t(kChunk) * m.heads * m.head_dim);
        routing = floats(size_t(num_threads) * routing_floats);
        attention = floats(size_t(num_threads) * attention_floats);
        spread_bytes = 0;
        for (int inputs : {4 * m.dim, m.heads * m.head_dim, hidden_dim, expert_dim}) {
            if (Block::bytes(inputs) > spread_bytes) spread_bytes = Block::bytes(inputs);
        }
        spread = take(num_threads, spread_bytes);
        choices = reinterpret_cast<Choice*>(take(size_t(kChunk) * top_k, sizeof(Choice)));
        first_pair = reinterpret_cast<int32_t*>(take(experts + 1, sizeof(int32_t)));
        chosen = reinterpret_cast<int32_t*>(take(experts + 1, sizeof(int32_t)));
        pairs = reinterpret_cast<int32_t*>(take(size_t(kChunk) * top_k, sizeof(int32_t)));
    }
};

static inline void norm(const float* x, const float* weight, int dim, float eps, float* out) {
    F8 squares = all(0.0f);
    for (int i = 0; i < dim; i += 8) squares = fma(load(x + i), load(x + i), squares);
    const float inverse = 1.0f / std::sqrt(sum(squares) / float(dim) + eps);
    for (int i = 0; i < dim; i += 8) store(out + i, load(x + i) * inverse * load(weight + i));
}

static inline void norm_short(float* x, const float* weight, int dim, float eps) {
    float squares = 0.0f;
    for (int i = 0; i < dim; ++i) squares += x[i] * x[i];
    const float inverse = 1.0f / std::sqrt(squares / float(dim) + eps);
    for (int i = 0; i < dim; ++i) x[i] = x[i] * inverse * weight[i];
}

struct Step {
    const Model& m;
    const Call& call;
    Team& team;
    const Buffers& b;
    const int thread;

    float* x(int t) const { return call.x + size_t(t) * m.dim; }
    uint8_t* spread() const { return b.spread + thread * b.spread_bytes; }

    void run(const Plan& plan) const {
        for (const Chunk* chunk = plan.chunks; chunk < plan.chunks + plan.num_chunks; ++chunk) {
            for (int i = 0; i < m.num_layers; ++i) {
                attention(m.layers[i], call.cache[i], *chunk);
                feed_forward(m.layers[i], *chunk);
            }
            team.share(chunk->num, 1, [&](int begin, int end) {
                for (int t = begin; t < end; ++t) {
                    float* row = x(chunk->first + t);
                    norm(row, m.norm, m.dim, m.eps, row);
                }
            });
        }
    }

    // `make(t)` for each token. A single one every thread makes for itself, which is faster than to wait for another;
    // `row` tells where what it makes of token t is.
    template <class Make>
    void each_token(const Chunk& chunk, Make&& make) const {
        if (chunk.num == 1) return make(0);
        team.share(chunk.num, 1, [&](int begin, int end) {
            for (int t = begin; t < end; ++t) make(t);
        });
    }
    int row(const Chunk& chunk, int t) const { return chunk.num == 1 ? thread : t; }

    void attention(const Layer& layer, uint16_t* cache, const Chunk& chunk) const {
        each_token(chunk, [&](int t) { norm_token(layer.attention_norm, chunk, t); });
        multiply_rows(
            team, layer.qkv, chunk.num, [&](int t) { return b.normed[row(chunk, t)]; }, b.qkv, b.qkv_width,
            spread());
        const bool is_whole_norm = layer.q_norm && !m.norm_per_head;
        if (is_whole_norm) {
            team.share(chunk.num, 1, [&](int begin, int end) {
                for (int t = begin; t < end; ++t) {
                    float* qk = b.qkv + size_t(t) * b.qkv_width;
                    norm_short(qk, layer.q_norm, m.heads * m.head_dim, m.eps);
                    norm_short(qk + m.heads * m.head_dim, layer.k_norm, m.kv_heads * m.head_dim, m.eps);
                }
            });
        }
        const int out_width = m.heads * m.head_dim;
        const auto each_head = [&](auto&& use) {
            team.share(chunk.num_tiles * m.kv_heads, 1, [&](int begin, int end) {
                for (int i = begin; i < end; ++i) use(chunk.tiles[i / m.kv_heads], i % m.kv_heads);
            });
        };
        const auto attend_head = [&](const Tile& tile, int head) {
            const AttentionScratch scratch(b.attention + size_t(thread) * b.attention_floats, m);
            const size_t first = tile.first - chunk.first;
            attend(m, call, tile, head, cache, b.qkv + first * b.qkv_width, b.qkv_width, b.out + first * out_width,
                   scratch);
        };
        if (chunk.is_apart) {  // no tile needs another's keys
            each_head([&](const Tile& tile, int head) {
                rotate_and_keep(layer, cache, chunk, tile, head);
                attend_head(tile, head);
            });
        } else {
            each_head([&](const Tile& tile, int head) { rotate_and_keep(layer, cache, chunk, tile, head); });
            each_head(attend_head);
        }
        each_token(chunk, [&](int t) {
            quantize(b.out + size_t(t) * out_width, b.attended[row(chunk, t)], out_width);
        });
        team.share(blocks_of(layer.o), grain_of(blocks_of(layer.o), team), [&](int begin, int end) {
            for (int i = begin; i < end; ++i) {
                add_block(layer.o, i, chunk, [&](int t) { return b.attended[row(chunk, t)]; });
            }
        });
    }

    void norm_token(const float* weight, const Chunk& chunk, int t) const {
        float* plain = b.plain + size_t(row(chunk, t)) * m.dim;
        norm(x(chunk.first + t), weight, m.dim, m.eps, plain);
        quantize(plain, b.normed[row(chunk, t)], m.dim);
    }

    // Turns a key-value head and its queries, and puts the head's keys and values into the cache.
    void rotate_and_keep(const Layer& layer, uint16_t* cache, const Chunk& chunk, const Tile& tile, int head) const {
        const int dim = m.head_dim, shared = m.heads / m.kv_heads;
        const Segment& segment = call.segments[tile.segment];
        for (int i = 0; i < tile.num; ++i) {
            const int position = tile.start + i;
            float* qkv = b.qkv + size_t(tile.first - chunk.first + i) * b.qkv_width;
            float *key = qkv + (m.heads + head) * dim, *value = key + m.kv_heads * dim;
            for (int h = head * shared; h < (head + 1) * shared; ++h) turn(layer.q_norm, qkv + h * dim, position);
            turn(layer.k_norm, key, position);
            const size_t slot =
                size_t(segment.pages[position / call.page_size]) * call.page_size + position % call.page_size;
            keep(key, dim, cache + (head * size_t(call.slots) + slot) * dim);
            keep(value, dim, cache + ((m.kv_heads + head) * size_t(call.slots) + slot) * dim);
        }
    }

    void turn(const float* norm_weight, float* x, int position) const {
        if (norm_weight && m.norm_per_head) norm_short(x, norm_weight, m.head_dim, m.eps);
        const int half = m.rotary / 2;
        const float *cos = m.cos + size_t(position) * half, *sin = m.sin + size_t(position) * half;
        for (int d = 0; d < half; ++d) {
            const float left = x[d], right = x[d + half];
            x[d] = left * cos[d] - right * sin[d];
            x[d + half] = right * cos[d] + left * sin[d];
        }
    }

    static void keep(const float* from, int dim, uint16_t* to) {
        int d = 0;
        for (; d + 8 <= dim; d += 8) to_half(to + d, load(from + d));
        if (d < dim) {
            float rest[8] = {};
            uint16_t halves[8];
            __builtin_memcpy(rest, from + d, (dim - d) * sizeof(float));
            to_half(halves, load(rest));
            __builtin_memcpy(to + d, halves, (dim - d) * sizeof(uint16_t));
        }
    }

    void feed_forward(const Layer& layer, const Chunk& chunk) const {
        const int top_k = layer.router.experts ? layer.router.top_k : 0;
        each_token(chunk, [&](int t) { norm_token(layer.feed_forward_norm, chunk, t); });
        if (top_k) {
            team.share(chunk.num, 1, [&](int begin, int end) {
                for (int t = begin; t < end; ++t) {
                    float* memory = b.routing + size_t(thread) * b.routing_floats;
                    const float* plain = b.plain + size_t(row(chunk, t)) * m.dim;
                    route(layer.router, plain, m.dim, memory, b.choices + size_t(t) * top_k);
                    if (chunk.num == 1) sort_by_expert(layer.router, 1);
                }
            });
            if (chunk.num > 1) {
                if (thread == 0) sort_by_expert(layer.router, chunk.num);
                team.barrier();
            }
        }
        hidden_states(layer, chunk);
        results(layer, chunk);
    }

    void sort_by_expert(const Router& r, int num_tokens) const {
        const int num_pairs = num_tokens * r.top_k;
        for (int e = 0; e < r.experts; ++e) b.first_pair[e] = 0;
        for (int i = 0; i < num_pairs; ++i) ++b.first_pair[b.choices[i].expert];
        b.chosen[0] = 0;
        for (int e = 0, end = 0; e < r.experts; ++e) {
            if (b.first_pair[e]) b.chosen[++b.chosen[0]] = e;
            r.counts[e] += b.first_pair[e];
            b.first_pair[e] = end += b.first_pair[e];
        }
        b.first_pair[r.experts] = num_pairs;
        for (int i = num_pairs; i-- > 0;) b.pairs[--b.first_pair[b.choices[i].expert]] = i;
    }

    // down's inputs of the dense or shared network and of every chosen expert, silu(gate) * up, 32 of one at a time.
    void hidden_states(const Layer& layer, const Chunk& chunk) const {
        const int own = layer.down.data ? layer.down.inputs / kGroup : 0;
        const int num_chosen = layer.router.experts ? b.chosen[0] : 0;
        const int each = num_chosen ? layer.expert_down[0].inputs / kGroup : 0;
        team.share(own + each * num_chosen, grain_of(own + each * num_chosen, team), [&](int begin, int end) {
            for (int i = begin; i < end; ++i) {
                if (i < own) {
                    swiglu(layer.gate_up, i, chunk.num, [&](int t) { return b.normed[row(chunk, t)]; },
                           [&](int t) { return b.hidden[t]; });
                    continue;
                }
                const int expert = b.chosen[1 + (i - own) / each];
                const int32_t* pairs = b.pairs + b.first_pair[expert];
                swiglu(layer.expert_gate_up[expert], (i - own) % each, b.first_pair[expert + 1] - b.first_pair[expert],
                       [&](int p) { return b.normed[row(chunk, pairs[p] / layer.router.top_k)]; },
                       [&](int p) { return b.expert_hidden[pairs[p]]; });
            }
        });
    }

    template <class From, class To>
    void swiglu(const Matrix& gate_up, int group, int num_rows, From&& from, To&& to) const {
        const int first_up = gate_up.outputs / 2 / kRows;  // blocks before the second half
        const auto block = [&](int index, int i) {
            return Block(gate_up, index, num_rows, spread() + i * Block::bytes(m.dim));
        };
        const Block gate_blocks[] = {block(2 * group, 0), block(2 * group + 1, 1)};
        const Block up_blocks[] = {block(first_up + 2 * group, 2), block(first_up + 2 * group + 1, 3)};
        float hidden[kTile][kGroup];
        for (int first = 0; first < num_rows; first += kTile) {
            const int num = num_rows - first < kTile ? num_rows - first : kTile;
            Row rows[kTile];
            Outputs gates[2][kTile], ups[2][kTile];
            for (int i = 0; i < num; ++i) rows[i] = from(first + i);
            if (!first) up_blocks[0].announce();
            for (int half = 0; half < 2; ++half) multiply(gate_blocks[half], rows, num, gates[half]);
            for (int half = 0; half < 2; ++half) multiply(up_blocks[half], rows, num, ups[half]);
            for (int i = 0; i < num; ++i) {
                for (int half = 0; half < 2; ++half) {
                    for (int p = 0; p < kParts; ++p) {
                        const Wide gate = gates[half][i].part[p], up = ups[half][i].part[p];
                        store(hidden[i] + half * kRows + p * kLanes, gate / (exp(-gate) + 1.0f) * up);
                    }
                }
            }
            for (int i = 0; i < num; ++i) quantize(hidden[i], to(first + i)[group]);
        }
    }

    // Adds to each token what the dense or shared network says, then its experts, ascending.
    void results(const Layer& layer, const Chunk& chunk) const {
        const int num_chosen = layer.router.experts ? b.chosen[0] : 0, blocks = m.dim / kRows;
        team.share(blocks, grain_of(blocks, team), [&](int begin, int end) {
            if (layer.down.data) {
                for (int i = begin; i < end; ++i) add_block(layer.down, i, chunk, [&](int t) { return b.hidden[t]; });
            }
            for (int k = 1; k <= num_chosen; ++k) {
                for (int i = begin; i < end; ++i) add_expert_block(layer, b.chosen[k], i, chunk);
            }
        });
    }

    void add_expert_block(const Layer& layer, int expert, int block, const Chunk& chunk) const {
        const int32_t* pairs = b.pairs + b.first_pair[expert];
        const int num_pairs = b.first_pair[expert + 1] - b.first_pair[expert];
        for_tiles(
            Block(layer.expert_down[expert], block, num_pairs, spread()), num_pairs,
            [&](int p) { return b.expert_hidden[pairs[p]]; },
            [&](int first, int num, const Outputs* out) {
                for (int i = 0; i < num; ++i) {
                    const int pair = pairs[first + i];
                    out[i].add(b.choices[pair].weight, x(chunk.first + pair / layer.router.top_k) + block * kRows);
                }
            });
    }

    template <class At>
    void add_block(const Matrix& matrix, int block, const Chunk& chunk, At&& at) const {
        for_tiles(
            Block(matrix, block, chunk.num, spread()), chunk.num, at,
            [&](int first, int num, const Outputs* out) {
                for (int i = 0; i < num; ++i) out[i].add(1.0f, x(chunk.first + first + i) + block * kRows);
            });
    }
};

static void run_call(const Model& m, const Call& call, const Plan& plan, Team& team) {
    struct Job {
        const Model& m;
        const Call& call;
        const Plan& plan;
        Team& team;
    } job{m, call, plan, team};
    team.run(
        Buffers(nullptr, m, team.size()).bytes,
        [](void* given, int thread, uint8_t* memory) {
            const Job& job = *static_cast<Job*>(given);
            const Buffers buffers(memory, job.m, job.team.size());
            Step{job.m, job.call, job.team, buffers, thread}.run(job.plan);
        },
        &job);
}
