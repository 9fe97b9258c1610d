//! The Vision Transformer that `spec` laid out, in tensors: pre-norm, learned positions, attention pooling or a class token
//! (arXiv 2010.11929, section 3.1; 2106.04560, section 3). GELU in its tanh form, norms with 1e-6, initial values as in the
//! code released with the latter. Layers are named as timm names them.

use spec::vit::{Architecture, Pooling};
use tch::{Kind, TchError, Tensor};

use crate::gelu::gelu;
use crate::layers::Linear;
use crate::network::Mode;
use crate::parameters::{Declared, Init, Parameters, Role};

/// Standard deviation of a standard normal cut off at two of them: what a truncated draw is divided by.
const TRUNCATED_STD: f64 = 0.879_625_661_034_239_8;

/// Name of the position embeddings.
pub(crate) const POSITIONS: &str = "pos_embed";

/// Name of the class token.
pub(crate) const CLASS_TOKEN: &str = "cls_token";

/// The network: where each layer finds its parameters.
pub struct Vit {
    patch: Linear,
    patch_size: i64,
    class_token: Option<usize>,
    positions: usize,
    side: i64,
    blocks: Vec<Block>,
    norm: Linear,
    pool: Option<Pool>,
    head: Linear,
    heads: i64,
}

struct Block {
    norm1: Linear,
    qkv: Linear,
    out: Linear,
    norm2: Linear,
    mlp: Mlp,
}

/// Attention with one learned query.
struct Pool {
    latent: usize,
    query: Linear,
    keys_values: Linear,
    out: Linear,
    norm: Linear,
    mlp: Mlp,
}

struct Mlp {
    hidden: Linear,
    out: Linear,
}

/// The parameters of `layout`, in no particular order.
pub fn declare(layout: &Architecture) -> Vec<Declared> {
    let vit = &layout.vit;
    let (width, mlp) = (i64::from(vit.width), i64::from(vit.mlp));
    let patch = i64::from(vit.patch);
    let mut all = vec![
        weight("patch_embed.proj", &[width, i64::from(layout.channels), patch, patch], {
            Init::Truncated((layout.patch_inputs() as f64).sqrt().recip() / TRUNCATED_STD)
        }),
        vector("patch_embed.proj.bias", &[width], Init::Constant(0.0)),
        vector(POSITIONS, &[1, layout.tokens() as i64, width], Init::Normal((width as f64).sqrt().recip())),
    ];
    if vit.pooling == Pooling::ClassToken {
        all.push(vector(CLASS_TOKEN, &[1, 1, width], Init::Constant(0.0)));
    }
    for block in 0..vit.depth {
        let name = |part: &str| format!("blocks.{block}.{part}");
        declare_norm(&name("norm1"), width, &mut all);
        declare_attention(&name("attn.qkv"), 3 * width, width, &mut all);
        declare_attention(&name("attn.proj"), width, width, &mut all);
        declare_norm(&name("norm2"), width, &mut all);
        declare_mlp(&name("mlp"), width, mlp, &mut all);
    }
    declare_norm("norm", width, &mut all);
    if vit.pooling == Pooling::Map {
        all.push(vector("attn_pool.latent", &[1, 1, width], Init::Uniform((6.0 / (1.0 + width as f64)).sqrt())));
        declare_attention("attn_pool.q", width, width, &mut all);
        declare_attention("attn_pool.kv", 2 * width, width, &mut all);
        declare_attention("attn_pool.proj", width, width, &mut all);
        declare_norm("attn_pool.norm", width, &mut all);
        declare_mlp("attn_pool.mlp", width, mlp, &mut all);
    }
    let classes = i64::from(layout.classes);
    all.push(Declared {
        name: "head.weight".to_owned(),
        shape: vec![classes, width],
        role: Role::Classifier,
        init: Init::Constant(0.0),
    });
    all.push(vector("head.bias", &[classes], Init::Constant(0.0)));
    all
}

fn weight(name: &str, shape: &[i64], init: Init) -> Declared {
    Declared { name: format!("{name}.weight"), shape: shape.to_vec(), role: Role::Weight, init }
}

fn vector(name: &str, shape: &[i64], init: Init) -> Declared {
    Declared { name: name.to_owned(), shape: shape.to_vec(), role: Role::Vector, init }
}

fn declare_norm(name: &str, width: i64, all: &mut Vec<Declared>) {
    all.push(vector(&format!("{name}.weight"), &[width], Init::Constant(1.0)));
    all.push(vector(&format!("{name}.bias"), &[width], Init::Constant(0.0)));
}

/// Glorot and Bengio 2010 with the fan of one of the projections, however many lie in one matrix.
fn declare_attention(name: &str, output: i64, width: i64, all: &mut Vec<Declared>) {
    all.push(weight(name, &[output, width], Init::Uniform((3.0 / width as f64).sqrt())));
    all.push(vector(&format!("{name}.bias"), &[output], Init::Constant(0.0)));
}

fn declare_mlp(name: &str, width: i64, mlp: i64, all: &mut Vec<Declared>) {
    let init = Init::Uniform((6.0 / (width + mlp) as f64).sqrt());
    for (part, output, input) in [("fc1", mlp, width), ("fc2", width, mlp)] {
        all.push(weight(&format!("{name}.{part}"), &[output, input], init));
        all.push(vector(&format!("{name}.{part}.bias"), &[output], Init::Normal(1e-6)));
    }
}

impl Vit {
    /// Finds the layers of `layout` among `parameters`, which [`declare`] has declared. `None` if one is missing.
    pub fn new(layout: &Architecture, parameters: &Parameters) -> Option<Vit> {
        let vit = &layout.vit;
        let pool = match vit.pooling {
            Pooling::Map => Some(Pool {
                latent: parameters.index("attn_pool.latent")?,
                query: Linear::new("attn_pool.q", parameters)?,
                keys_values: Linear::new("attn_pool.kv", parameters)?,
                out: Linear::new("attn_pool.proj", parameters)?,
                norm: Linear::new("attn_pool.norm", parameters)?,
                mlp: Mlp::new("attn_pool.mlp", parameters)?,
            }),
            Pooling::ClassToken => None,
        };
        let class_token = match vit.pooling {
            Pooling::Map => None,
            Pooling::ClassToken => Some(parameters.index(CLASS_TOKEN)?),
        };
        let blocks = (0..vit.depth).map(|block| {
            let name = |part: &str| format!("blocks.{block}.{part}");
            Some(Block {
                norm1: Linear::new(&name("norm1"), parameters)?,
                qkv: Linear::new(&name("attn.qkv"), parameters)?,
                out: Linear::new(&name("attn.proj"), parameters)?,
                norm2: Linear::new(&name("norm2"), parameters)?,
                mlp: Mlp::new(&name("mlp"), parameters)?,
            })
        });
        Some(Vit {
            patch: Linear::new("patch_embed.proj", parameters)?,
            patch_size: i64::from(vit.patch),
            class_token,
            positions: parameters.index(POSITIONS)?,
            side: i64::from(layout.side),
            blocks: blocks.collect::<Option<_>>()?,
            norm: Linear::new("norm", parameters)?,
            pool,
            head: Linear::new("head", parameters)?,
            heads: i64::from(vit.heads),
        })
    }

    /// Logits for pictures of shape [examples, channels, height, width]. Another resolution than that of the layout is
    /// met by resampling the position embeddings.
    pub fn forward(&self, parameters: &Parameters, pictures: &Tensor, mode: Mode) -> Result<Tensor, TchError> {
        let views = parameters.views();
        let kind = pictures.f_kind()?;
        let cast = |index: usize| views[index].f_to_kind(kind);
        let (weight, bias) = (cast(self.patch.weight)?, cast(self.patch.bias)?);
        let patches = pictures.f_conv2d(&weight, Some(&bias), [self.patch_size; 2], [0, 0], [1, 1], 1)?;
        let (examples, side) = (patches.size()[0], patches.size()[2]);
        let patches = patches.f_flatten(2, 3)?.f_transpose(1, 2)?;
        let tokens = match self.class_token {
            Some(token) => {
                let token = cast(token)?.f_expand([examples, 1, -1], false)?;
                Tensor::f_cat(&[token, patches], 1)?
            }
            None => patches,
        };
        let mut x = tokens.f_add(&self.positions(&views[self.positions], side)?.f_to_kind(kind)?)?;
        for (index, block) in self.blocks.iter().enumerate() {
            x = block.forward(parameters, &x, self.heads, |branch| {
                // As timm has it: the last block has the full rate, and what is kept is scaled up.
                Ok(match mode.kept(index, self.blocks.len() - 1, examples, branch.device())? {
                    Some((kept, share)) => {
                        branch.f_mul(&kept.f_div_scalar(share)?.f_view([-1, 1, 1])?.f_to_kind(branch.f_kind()?)?)?
                    }
                    None => branch,
                })
            })?;
        }
        let x = self.norm.normalise(parameters, &x)?;
        let features = match &self.pool {
            Some(pool) => pool.forward(parameters, &x, self.heads)?,
            None => x.f_select(1, 0)?,
        };
        self.head.forward(parameters, &mode.dropped(features.f_to_kind(Kind::Float)?, 0.0)?)
    }

    /// Position embeddings for a picture of `side` patches along each side.
    fn positions(&self, learned: &Tensor, side: i64) -> Result<Tensor, TchError> {
        if side == self.side {
            return Ok(learned.shallow_clone());
        }
        let extra = learned.size()[1] - self.side * self.side;
        resampled_positions(learned, extra, extra + side * side)
    }
}

/// Position embeddings [1, tokens, width] for another number of tokens: those of the patches are resampled as a picture
/// (arXiv 2010.11929, section 3.2), the `extra` ones in front of them stay. Both grids are square.
pub(crate) fn resampled_positions(learned: &Tensor, extra: i64, tokens: i64) -> Result<Tensor, TchError> {
    let side = |tokens: i64| ((tokens - extra).max(0) as f64).sqrt().round() as i64;
    let (from, to) = (side(learned.size()[1]), side(tokens));
    let grid = learned.f_narrow(1, extra, from * from)?;
    let grid = grid.f_reshape([1, from, from, -1])?.f_permute([0, 3, 1, 2])?;
    let grid = grid.f_upsample_bicubic2d([to, to], false, None, None)?;
    let grid = grid.f_flatten(2, 3)?.f_transpose(1, 2)?;
    Tensor::f_cat(&[learned.f_narrow(1, 0, extra)?, grid], 1)
}

impl Block {
    /// `drop` is called on each of the two residual branches.
    fn forward(
        &self,
        parameters: &Parameters,
        x: &Tensor,
        heads: i64,
        drop: impl Fn(Tensor) -> Result<Tensor, TchError>,
    ) -> Result<Tensor, TchError> {
        let normal = self.norm1.normalise(parameters, x)?;
        let parts = self.qkv.forward(parameters, &normal)?.f_chunk(3, -1)?;
        let [query, key, value] = &parts[..] else { return Err(TchError::Shape("three projections".to_owned())) };
        let attended = attention(query, key, value, heads)?;
        let x = x.f_add(&drop(self.out.forward(parameters, &attended)?)?)?;
        let normal = self.norm2.normalise(parameters, &x)?;
        x.f_add(&drop(self.mlp.forward(parameters, &normal)?)?)
    }
}

impl Pool {
    fn forward(&self, parameters: &Parameters, x: &Tensor, heads: i64) -> Result<Tensor, TchError> {
        let latent = parameters.views()[self.latent].f_to_kind(x.f_kind()?)?.f_expand([x.size()[0], 1, -1], false)?;
        let query = self.query.forward(parameters, &latent)?;
        let parts = self.keys_values.forward(parameters, x)?.f_chunk(2, -1)?;
        let [key, value] = &parts[..] else { return Err(TchError::Shape("two projections".to_owned())) };
        let pooled = self.out.forward(parameters, &attention(&query, key, value, heads)?)?;
        let normal = self.norm.normalise(parameters, &pooled)?;
        pooled.f_add(&self.mlp.forward(parameters, &normal)?)?.f_select(1, 0)
    }
}

/// softmax(q k' / sqrt(width of a head)) v for every head; all of shape [examples, tokens, width].
fn attention(query: &Tensor, key: &Tensor, value: &Tensor, heads: i64) -> Result<Tensor, TchError> {
    let split = |x: &Tensor| {
        let size = x.size();
        x.f_reshape([size[0], size[1], heads, size[2] / heads])?.f_transpose(1, 2)
    };
    let (query, key, value) = (split(query)?, split(key)?, split(value)?);
    let mask: Option<&Tensor> = None;
    let mixed = Tensor::f_scaled_dot_product_attention(&query, &key, &value, mask, 0.0, false, None, false)?;
    mixed.f_transpose(1, 2)?.f_flatten(2, 3)
}

impl Mlp {
    fn new(name: &str, parameters: &Parameters) -> Option<Mlp> {
        let find = |part: &str| Linear::new(&format!("{name}.{part}"), parameters);
        Some(Mlp { hidden: find("fc1")?, out: find("fc2")? })
    }

    fn forward(&self, parameters: &Parameters, x: &Tensor) -> Result<Tensor, TchError> {
        self.out.forward(parameters, &gelu(&self.hidden.forward(parameters, x)?)?)
    }
}
